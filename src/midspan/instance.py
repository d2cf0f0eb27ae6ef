"""The one place where the parts of an instance are joined."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from midspan.apps.bootstrap import alone, install, is_empty, open_vault, upgrade
from midspan.apps.load import builtin_apps, builtin_hash
from midspan.attachments import AttachmentGuard, AttachmentStore, AttachmentSweeper
from midspan.cmdb import RULES, EngineCalls, IdentificationEngine
from midspan.ecc import EccOptions, EccQueue, Enrolments, QueueHook
from midspan.ecc.attachmentcreator import AttachmentCreator
from midspan.ecc.credentials import StoredSecrets
from midspan.ecc.sweeper import Sweeper
from midspan.events import REGISTER, Dispatcher, EventQueue, EventRegistry
from midspan.events.traces import ScriptTraces
from midspan.flow import FLOWS, FlowService
from midspan.flow.scriptcalls import FlowCalls
from midspan.importsets import ImportRunner, SandboxFieldScripts
from midspan.importsets.mapcheck import MapChecks
from midspan.importsets.maps import MAPS
from midspan.importsets.pushed import PushedRows
from midspan.importsets.pushedsets import PushedSets
from midspan.importsets.relay import DataSourceSecrets, RelayImports
from midspan.importsets.schedule import ScheduledImports
from midspan.importsets.scriptcalls import ImportCalls, LaterTransforms
from midspan.jobs import DbosCarrier, JobTable, ManualJobs, NodeJobs, ThreadCarrier
from midspan.kernel.clock import Clock, ManualClock, SystemClock
from midspan.kernel.errors import Conflict, Unavailable
from midspan.kernel.ids import IdSource, RandomIds
from midspan.kernel.settings import Settings
from midspan.outbound import Outbound
from midspan.outbound.deferred import DeferredMessages
from midspan.outbound.throughagent import AgentMessages, MessageSecrets
from midspan.records import (
    RIGHTS,
    InboundGuard,
    Keepers,
    RecordStore,
    SavedStates,
    Snapshot,
    SnapshotHolder,
)
from midspan.records.layouts import LAYOUTS
from midspan.rules import (
    PARTS,
    BusinessRules,
    LaterRules,
    RecordAccessScripts,
    ScheduledScripts,
    ScriptActions,
    ScriptCheck,
    ScriptedDefaults,
    ScriptedRules,
    ScriptTriggers,
)
from midspan.scripting import ScriptRunner, open_pool
from midspan.scripting.addresses import ServiceAddresses
from midspan.scripting.includes import PARTS as SCRIPT_PARTS
from midspan.scripting.messagecalls import MessageCalls
from midspan.scripting.processors import PROCESSORS
from midspan.scripting.services import SERVICES
from midspan.scripting.soapservices import SOAP_SERVICES
from midspan.security import SYSTEM, Actor, Identities, Passwords, master_key
from midspan.storage import Database, SqliteDatabase

if TYPE_CHECKING:
    from midspan.api import ApiParts, Application
    from midspan.apps.seed import Seed, Values
    from midspan.outbound.sender import Messages

RECORDS_FILE = "records.db"
KEY_FILE = "master.key"
JOBS_FILE = "jobs.db"
NODE_FILE = "node.id"
STATES = "states"
STOP_WITHIN = timedelta(seconds=20)
log = logging.getLogger(__name__)


class Instance:
    """An open instance: its database and everything that works on it.

    ``clock`` and ``ids`` are injected so that tests are deterministic.
    """

    def __init__(
        self, settings: Settings, *, clock: Clock | None = None, ids: IdSource | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.ids = ids or RandomIds()
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = _copy_template(settings)
        self.database: Database = _open(settings)
        self.passwords = Passwords()
        services = (SERVICES, SOAP_SERVICES, PROCESSORS)
        parts = (*services, *SCRIPT_PARTS, *PARTS, MAPS, REGISTER, FLOWS, RULES)
        self.holder = SnapshotHolder(self.database, self.clock, (*parts, LAYOUTS))
        with alone(self.database):
            if is_empty(self.database):
                _install(self.database, self.clock, self.ids)
                fresh = True
            vault = open_vault(self.database, master_key(settings.data / KEY_FILE), self.clock)
        keepers = Keepers(self.passwords, vault)
        self.records = RecordStore(
            self.database, self.holder, keepers, clock=self.clock, ids=self.ids
        )
        self._closers: list[Callable[[], None]] = []
        self.sandbox = open_pool(settings.script_workers)
        self._closers.append(self.sandbox.close)
        self.scripts = ScriptRunner(self.sandbox)
        if settings.public_url:
            self.scripts.reachable_at(settings.public_url)
        self.node = _node_name(settings, self.ids)
        self.jobs = self.records.jobs = _jobs(self, self.node)
        self.identities = Identities(self.database, self.clock, self.passwords)
        self._join_rules()
        self.attachments = AttachmentStore(self.records)
        files = self.attachments
        self.records.guards.append(AttachmentGuard(files.sql, files.dropped.set))
        self.records.guards.append(InboundGuard())
        scripts = SandboxFieldScripts(self.scripts)
        self.imports = ImportRunner(self.records, self.clock, scripts)
        self.pushed = PushedRows(self.records, scripts)
        engine = self.identification = IdentificationEngine(self.records)
        self.scripts.extensions.append(lambda unit: EngineCalls(unit, engine).calls())
        self._join_durable_work()
        self.holder.on_renewal(self._renewed)
        if not fresh and not settings.ephemeral:
            self._upgrade()

    def _join_rules(self) -> None:
        """Join business rules and the events of scripts, the first hook of all."""
        scripted = ScriptedRules(self.scripts)
        self.records.access_scripts = RecordAccessScripts(self.scripts)
        later = LaterRules(self.records, scripted, self.jobs, self._acting)
        self.rules = BusinessRules(self.records, scripted, later)
        self.records.hooks += (
            ScriptedDefaults(self.scripts),
            self.rules,
            ScriptCheck(self.scripts),
            ServiceAddresses(),
        )
        self.script_events = EventQueue(self.records, self.jobs, self._acting)
        self.script_events.handlers.append(ScriptActions(self.scripts))
        self.script_items = ScheduledScripts(self.records, self.scripts, self.jobs, self._acting)
        triggers = ScriptTriggers(self.records, self.scripts, self.jobs)
        self.records.hooks.extend((self.script_items, triggers))
        self.script_traces = ScriptTraces(self.records, self.jobs)

    def _acting(self, user: str) -> Actor:
        """Return who acts in work that a user left for later; empty is the instance itself.

        Raises:
            NotAuthenticated: he is gone, inactive or locked out.
        """
        if not user:
            return SYSTEM
        return self.identities.actor(user, self.holder.current().part(RIGHTS))

    def _join_durable_work(self) -> None:
        """Join events, the way out and flows; nothing of it works before ``start_work``."""
        node = self.node
        self.outbound = Outbound(self.records, self.settings.egress)
        self._closers.append(self.outbound.close)
        self.deferred = DeferredMessages(self.records, self.jobs, lambda: self.messages)
        self.events = EventRegistry()
        self.dispatcher = Dispatcher(self.records, self.events, node)
        self.flows = FlowService(self.records, self.jobs, self.outbound, node=node)
        self.flows.attach(self.events)
        self.records.feeds.append(self.events)
        self._join_agents()

    @cached_property
    def messages(self) -> Messages:
        """What sends the calls of scripts; made at the first one, since HTTP is slow to import."""
        from midspan.outbound.sender import Messages

        return Messages(self.outbound)

    def _join_agents(self) -> None:
        """Join the queue to MID servers and the imports that go through it."""
        self.enrolments = Enrolments(self.records)
        secrets = MessageSecrets(DataSourceSecrets(StoredSecrets()))
        self.ecc = EccQueue(self.records, secrets, EccOptions())
        relay = AgentMessages(self.outbound, self.ecc)
        self.scripts.extensions.append(
            lambda unit: MessageCalls(unit, lambda: self.messages, self.deferred, relay).calls()
        )
        self._join_script_work()
        self.records.hooks += (QueueHook(self.ecc), AttachmentCreator(self.attachments))
        self.pushed_sets = PushedSets(self.records, self.imports, self.jobs, self._acting)
        self.relay = RelayImports(self.records, self.imports, self.ecc, self.jobs)
        self.schedules = ScheduledImports(self.records, self.imports, self.relay, self.jobs)
        self.records.hooks.extend((self.schedules, MapChecks()))
        self.states = _states(self)
        self.sweeper = Sweeper(self.ecc, self.enrolments)
        self.uploads = AttachmentSweeper(self.attachments, further=(self._sweep_answers,))

    def _join_script_work(self) -> None:
        """Let scripts start flows, load import sets and transform them."""
        transforms = LaterTransforms(self.records, self.imports, self.jobs, self._acting)
        self.scripts.extensions += (
            lambda unit: FlowCalls(unit, self.flows, self.jobs.wake).calls(),
            lambda unit: ImportCalls(unit, transforms, self.attachments).calls(),
        )

    def seed(self, seeds: Sequence[Seed], values: Values) -> bool:
        """Give an unused instance what seed files say; tell whether it was done.

        Raises:
            InvalidDefinition: names file and line of what is wrong; nothing was written.
            Conflict: the instance was used before and never seeded.
        """
        from midspan.api.seeding import apply_seeds

        return apply_seeds(self.records, seeds, values)

    def start_work(self) -> None:
        """Begin to carry out jobs, events and schedules; called once the node answers."""
        self.records.logbook.start()
        self.jobs.start()
        self.dispatcher.start()
        self.sweeper.start()
        self.uploads.start()
        self._load_schedules()
        for items in (self.schedules, self.script_items):
            items.catch_up()
        self._closers.append(self.records.logbook.stop)
        self._closers.append(self.sweeper.stop)
        self._closers.append(self.uploads.stop)
        self._closers.append(lambda: _stopped(self.jobs.stop, "jobs"))
        self._closers.append(lambda: _stopped(self.dispatcher.stop, "events"))

    def _sweep_answers(self) -> None:
        from midspan.api.keptanswers import sweep

        sweep(self.records)

    def keep_start(self) -> None:
        """Save the state that ``reset`` goes back to, where the instance was started for that."""
        if self.states is not None:
            self.states.keep_start()

    def reset(self) -> None:
        """Go back to the state that ``keep_start`` saved.

        Raises:
            NotFound: none was saved.
            Conflict: the instance was not started for that.
        """
        if self.states is None:
            raise Conflict("This instance cannot go back", hint=_refusal(self.settings))
        self.states.restore()

    def _restored(self) -> None:
        """Bring in line with another state what is kept in memory; nobody else is at work."""
        self.identities.forget()
        self.jobs.scheduler.clear()
        self._load_schedules()

    def _load_schedules(self) -> None:
        """Tell the jobs about everything that comes back."""
        self.schedules.load()
        self.script_items.load()
        self.script_traces.load()

    def _wake(self) -> None:
        """Let everybody who waits for news look again."""
        self.jobs.wake()
        self.dispatcher.wake()
        self.attachments.dropped.set()
        self.ecc.signal.fire()

    def _upgrade(self) -> None:
        """Bring the built-in apps up to this release, unless they are already."""
        marker = self.settings.data / "apps.hash"
        current = builtin_hash()
        if not marker.is_file() or marker.read_text() != current:
            with alone(self.database):
                upgrade(self.records, builtin_apps())
            marker.write_text(current)

    def _renewed(self, _: Snapshot, parts: frozenset[str]) -> None:
        if parts & {"rights", "users"}:
            self.identities.forget()

    def application(self, *, secure: bool = False) -> Application:
        """Return the ASGI application; ``secure`` when whoever serves it speaks TLS itself.

        Scripted services are attached to its router, so that a known path answers a method it
        does not have with 405. They run in a lane of threads of their own.
        """
        from midspan.api import create_app
        from midspan.api.scripted import ScriptedRest
        from midspan.api.scriptlane import Turns
        from midspan.api.scriptrun import ScriptRoutes
        from midspan.api.servlets import Servlets
        from midspan.api.soap.scripted import ScriptedSoap

        threads = self.settings.script_workers
        turns = Turns(self.clock, threads // 2)
        scripted = ScriptedRest(self.scripts, threads=threads, turns=turns)
        background = ScriptRoutes(self.scripts)
        soap = ScriptedSoap(self.scripts, threads=threads, turns=turns)
        servlets = Servlets(self.scripts, threads=threads, turns=turns)
        self._closers += (scripted.close, background.close, soap.close, servlets.close)
        parts = self.api_parts(secure=secure)
        app = create_app(
            replace(
                parts,
                extra_routes=(
                    *parts.extra_routes,
                    background.route,
                    servlets.route,
                    scripted.route,
                ),
                scripted_soap=soap,
                servlets=servlets,
                script_turns=turns,
            )
        )
        scripted.attach(app.router)
        return app

    def api_parts(self, *, secure: bool = False) -> ApiParts:
        """Return what the HTTP surface works with; ``secure`` when it speaks TLS itself."""
        from midspan.api import ApiParts
        from midspan.api.admin import AdminParts, admin_routes
        from midspan.api.backup import BackupSource
        from midspan.api.checks import Examined
        from midspan.api.cmdb import cmdb_routes
        from midspan.api.flows import flow_routes
        from midspan.api.imports import ImportParts, import_routes
        from midspan.api.mid import MidParts, mid_routes
        from midspan.api.states import StateParts, state_routes

        examined = Examined(
            records=self.records,
            clock=self.clock,
            settings=self.settings,
            outbound=self.outbound,
            hardening=lambda: self.sandbox.hardening,
        )
        admin = AdminParts(
            records=self.records,
            imports=self.imports,
            backup=BackupSource(self.database, self.settings.data),
            examined=examined,
        )
        return ApiParts(
            records=self.records,
            identities=self.identities,
            clock=self.clock,
            ids=self.ids,
            node=self.node,
            public_url=self.settings.public_url,
            behind_proxy=self.settings.behind_proxy,
            client_cert_header=self.settings.client_cert_header,
            trusted_proxies=self.settings.trusted_proxies,
            secure=secure,
            threads=self.settings.threads,
            pushed=self.pushed,
            pushed_sets=self.pushed_sets,
            display_rules=self.rules,
            extra_routes=(
                *admin_routes(admin),
                *state_routes(StateParts(self.states, _refusal(self.settings))),
                *flow_routes(self.flows),
                *cmdb_routes(self.identification),
                *mid_routes(MidParts(self.enrolments, self.ecc, self.clock)),
                *import_routes(ImportParts(self.records, self.relay)),
            ),
        )

    def close(self) -> None:
        """Stop all work and close the database."""
        for closer in reversed(self._closers):
            closer()
        self.database.close()


def _open(settings: Settings) -> Database:
    if settings.database:
        from midspan.storage.postgres import PostgresDatabase  # the driver takes 10 MB

        return PostgresDatabase(settings.database)
    return SqliteDatabase(settings.data / RECORDS_FILE, ephemeral=settings.ephemeral)


def _states(instance: Instance) -> SavedStates | None:
    """Return what saves and restores states, where the instance was started for that."""
    settings, database = instance.settings, instance.database
    if not isinstance(database, SqliteDatabase) or not (settings.ephemeral or settings.allow_reset):
        return None
    states = SavedStates(instance.records, database, settings.data / STATES, builtin_hash())
    states.renewed.append(instance._restored)
    states.woken.append(instance._wake)
    return states


def _refusal(settings: Settings) -> str:
    if settings.database:
        return "On PostgreSQL there is no way back; use SQLite, or a new database for each run."
    return "Start it with --ephemeral, or with --data and --allow-reset."


def _node_name(settings: Settings, ids: IdSource) -> str:
    """Return this node's name: made at its first start, the same ever after."""
    file = settings.data / NODE_FILE
    if not file.exists():
        file.write_text(f"node-{ids.sys_id()[:12]}")
    return file.read_text().strip()


def _jobs(instance: Instance, node: str) -> ManualJobs | NodeJobs:
    """Choose what carries jobs; decision record 0004 says why."""
    settings = instance.settings
    table = JobTable(instance.database, instance.clock, instance.ids, node)
    if isinstance(instance.clock, ManualClock):
        return ManualJobs(table)
    if settings.ephemeral:
        return NodeJobs(table, ThreadCarrier(settings.threads), limit=settings.threads)
    url = settings.database or f"sqlite:///{settings.data.absolute() / JOBS_FILE}"
    carrier = DbosCarrier(url, node, instance.ids.token(6), threads=settings.threads)
    return NodeJobs(table, carrier, limit=settings.threads)


def _stopped(stop: Callable[[timedelta], bool], what: str) -> None:
    if not stop(STOP_WITHIN):
        log.warning("%s were still at work when the node stopped; they go on at its start", what)


def _install(database: Database, clock: Clock, ids: IdSource) -> None:
    """Fill an empty database with the built-in apps; they hold no secret, so no vault is needed."""
    keepers = Keepers(Passwords(), _NoVault())
    store = RecordStore(database, SnapshotHolder(database, clock), keepers, clock=clock, ids=ids)
    install(store, builtin_apps())


class _NoVault:
    """Stands where no secret may be sealed yet."""

    def seal(self, text: str, place: str) -> str:
        raise Unavailable(f"A built-in app ships a secret at {place}")

    def open(self, sealed: str, place: str) -> str:
        raise Unavailable(f"A built-in app ships a secret at {place}")


def _copy_template(settings: Settings) -> bool:
    """Start a new SQLite instance from the compiled built-in apps; tell whether that was done.

    The template is made once per content of the apps and kept in the user's cache directory.
    """
    target = settings.data / RECORDS_FILE
    if settings.database or target.exists():
        return False
    template = _template()
    shutil.copyfile(template, target)
    target.chmod(0o600)
    (settings.data / "apps.hash").write_text(builtin_hash())
    return True


def _template() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "midspan"
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        cache = Path(tempfile.gettempdir()) / f"midspan-{os.getuid()}"
        cache.mkdir(exist_ok=True, mode=0o700)
    digest = hashlib.sha256(builtin_hash().encode()).hexdigest()[:16]
    template = cache / f"template-{digest}.db"
    if not template.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            half = Path(folder) / "template.db"
            database = SqliteDatabase(half, ephemeral=True)
            try:
                _install(database, SystemClock(), RandomIds())
                database.backup(f"{half}.whole")
            finally:
                database.close()
            Path(f"{half}.whole").replace(template)
    return template
