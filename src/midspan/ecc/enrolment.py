"""How an agent becomes known: one-time codes, key pairs, an administrator's word, generations.

Codes, keys and generations are written through engine tables; ``ecc_agent`` itself, which people
see, goes through ``records.apply`` with its rules and audit. Only its status and the time it was
last seen are written beside them: they change with every request and have no rule of their own.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from midspan.dictionary.values import datetime_text, parse_datetime
from midspan.ecc.errors import (
    AgentRefused,
    CodeRefused,
    GenerationStale,
    UnknownAgent,
)
from midspan.kernel.errors import Conflict, InvalidValue, did_you_mean
from midspan.kernel.ids import derived_id
from midspan.records import Record, RecordStore, RecordTransaction, insert, update
from midspan.security import SYSTEM, Actor
from midspan.storage import Statements
from midspan_link import protocol, sealing, signing
from midspan_link.errors import LinkError, SignatureRefused

CODE_LIFE = timedelta(minutes=15)
CODE_MARK = "mid_"
"""What codes begin with, so that none looks like an option on a command line."""
SILENCE = timedelta(seconds=95)
"""An agent that was not heard of for so long is Down; it reports every 30 seconds."""
NONCE_LIFE = 2 * signing.MAX_SKEW
"""How long after its time stamp a request is known; twice as long as it is accepted, since the
clocks of nodes may differ, too."""
VALIDATED = "validated"
_AGENT_NAME = 80

_log = logging.getLogger(__name__)


class IssuedCode(Struct, frozen=True):
    """A new enrolment code; ``code`` is shown once and kept as a hash only."""

    code: str
    name: str
    expires: datetime

    def __repr__(self) -> str:
        """Hide the code."""
        return f"IssuedCode(name={self.name!r}, expires={self.expires})"


class MidServer(Struct, frozen=True, kw_only=True):
    """An agent with the key pair that counts now."""

    sys_id: str
    name: str
    validated: bool
    paused: bool
    status: str
    key_id: str
    signing_key: str
    sealing_key: str
    generation: int


class Enrolments:
    """Issues codes, takes agents in and vouches for them; safe to use from many threads."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records
        self._sql = Statements("midspan.ecc", "ecc", records.database.dialect)

    # For administrators

    def issue_code(self, name: str, actor: Actor) -> IssuedCode:
        """Return a code with which one agent may enrol as ``name`` within 15 minutes.

        Raises:
            InvalidValue: the name is empty, too long, or holds what a queue address may not.
        """
        if not name.strip() or len(name) > _AGENT_NAME or not name.isprintable() or "*" in name:
            raise InvalidValue(
                f"{name!r} is no name for a MID server",
                hint=f"Use 1 to {_AGENT_NAME} printable characters without an asterisk.",
            )
        code = CODE_MARK + self._records.ids.token(24)
        with self._records.write(actor, enforce=False) as transaction:
            expires = transaction.now + CODE_LIFE
            row = {
                "code_hash": _hash(code),
                "name": name.strip(),
                "issued_by": actor.sys_id,
                "expires": datetime_text(expires),
            }
            transaction.engine_insert("ecc_agent_enrolment", [row])
        return IssuedCode(code, name.strip(), expires)

    def validate(self, name: str, actor: Actor) -> str:
        """Vouch for an agent, so that it gets jobs; return its id.

        Raises:
            UnknownAgent: no such agent (with the nearest name).
            Conflict: its key was withdrawn, so nothing that it sends would be accepted.
        """
        return self._set_validated(name, VALIDATED, actor)

    def invalidate(self, name: str, actor: Actor) -> str:
        """Take the word back: no jobs, and results are not accepted until it is given again."""
        return self._set_validated(name, "no", actor)

    def withdraw(self, name: str, actor: Actor) -> str:
        """Invalidate an agent and its key for good; it has to enrol again."""
        with self._records.write(actor, enforce=False) as transaction:
            agent = self.require(transaction, name)
            now = datetime_text(transaction.now)
            transaction.database.execute(self._sql["withdraw"], (now, agent.sys_id))
            values = {"validated": "no", "status": "Down", "stopped": now}
            transaction.apply(update("ecc_agent", agent.sys_id, values))
        return agent.sys_id

    def agents(self, actor: Actor) -> list[Record]:
        """Return the agents that the actor may see, by name."""
        self.note_silence()
        with self._records.read(actor) as transaction:
            return transaction.find("ecc_agent", "ORDERBYname")

    def require(self, transaction: RecordTransaction, name: str) -> Record:
        """Return the agent with this name or id.

        Raises:
            UnknownAgent: there is none (with the nearest name).
        """
        known = transaction.find("ecc_agent", "ORDERBYname")
        for agent in known:
            if name == agent.sys_id or agent.get("name").lower() == name.lower():
                return agent
        raise UnknownAgent(
            f"There is no MID server {name!r}",
            hint=did_you_mean(name, [agent.get("name") for agent in known]),
        )

    # For agents

    def enrol(self, message: protocol.Enrolment) -> protocol.Enrolled:
        """Use up a code and keep the agent's keys; an agent of that name gets them as its new ones.

        Raises:
            CodeRefused: wrong, expired or used; the reason is logged for the administrator.
        """
        try:
            _check_keys(message)
            with self._records.write(SYSTEM, enforce=False) as transaction:
                return self._enrol(transaction, message)
        except CodeRefused as refused:
            _log.warning(
                "enrolment refused: %s", refused.why, extra={"host": message.host_name[:100]}
            )
            raise

    def find(self, mid_sys_id: str) -> MidServer:
        """Return an agent with its present key.

        Raises:
            AgentRefused: there is none, or its key was withdrawn.
        """
        with self._records.database.read() as database:
            row = database.row(self._sql["key_of"], (mid_sys_id,))
        if row is None:
            raise AgentRefused(
                protocol.CODE_UNKNOWN_MID,
                "No MID server has this id and a valid key",
                hint="Enrol it again.",
            )
        key_id, signing_key, sealing_key, generation, name, validated, paused, status = row
        return MidServer(
            sys_id=mid_sys_id,
            name=str(name),
            validated=validated == VALIDATED,
            paused=bool(paused),
            status=str(status or ""),
            key_id=str(key_id),
            signing_key=str(signing_key),
            sealing_key=str(sealing_key),
            generation=int(generation or 0),
        )

    def admit(self, mid: MidServer, envelope: signing.Envelope) -> None:
        """Note a verified request, for all nodes and beyond their ends.

        Raises:
            SignatureRefused: it was accepted before (reason ``replay``).
        """
        now = datetime_text(self._records.clock.now())
        sent = datetime.fromtimestamp(envelope.timestamp, UTC)
        nonce = derived_id("request of an agent", mid.sys_id, envelope.nonce)
        row = (nonce, mid.sys_id, datetime_text(sent + NONCE_LIFE), now)
        with self._records.database.write() as database:
            if database.execute(self._sql["admit"], row) != 1:
                raise SignatureRefused("The request was already received", reason="replay")

    def forget_nonces(self) -> int:
        """Delete the requests whose time stamps no node accepts any more; return how many."""
        now = datetime_text(self._records.clock.now())
        with self._records.database.write() as database:
            return database.execute(self._sql["forget_nonces"], (now,))

    def check_generation(self, mid: MidServer, generation: int) -> None:
        """Note a higher generation of a verified request; refuse a lower one and raise an issue.

        Raises:
            GenerationStale: another start of this identity was seen before.
        """
        if generation == mid.generation:
            return
        with self._records.database.write() as database:
            raised = database.execute(
                self._sql["raise_generation"], (generation, mid.key_id, generation)
            )
        if not raised and generation != self.find(mid.sys_id).generation:
            message = (
                f"{mid.name} sent generation {generation} after {mid.generation}: an older start "
                "or a copy of its home directory is still running"
            )
            self.raise_issue(mid.sys_id, "generation", protocol.CODE_GENERATION, message)
            raise GenerationStale(message)

    def heartbeat(self, mid: MidServer, message: protocol.Heartbeat) -> str:
        """Store how the agent is; return its status."""
        now = self._records.clock.now()
        status = "Paused" if mid.paused else "Up"
        started = now - timedelta(seconds=min(message.uptime_seconds, 10**9))
        values = {
            "version": message.version,
            "jobs_running": str(message.running),
            "jobs_free": str(message.free),
            "spool_jobs": str(message.spool_jobs),
            "spool_bytes": str(message.spool_bytes),
            "memory_bytes": str(message.memory_bytes),
            "uptime_seconds": str(message.uptime_seconds),
            "started": datetime_text(started),
            "last_refreshed": datetime_text(now),
            "status": status,
        }
        with self._records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(update("ecc_agent", mid.sys_id, values))
            self._learn_capabilities(transaction, mid.sys_id, message.capabilities)
        return status

    def seen(self, mid: MidServer) -> str:
        """Note that the agent is alive; return its status."""
        status = "Paused" if mid.paused else "Up"
        now = datetime_text(self._records.clock.now())
        with self._records.database.write() as database:
            database.execute(self._sql["seen"], (status, now, mid.sys_id))
        return status

    def note_silence(self) -> int:
        """Set agents Down that were not heard of for a while; return how many."""
        now = self._records.clock.now()
        with self._records.database.write() as database:
            return database.execute(
                self._sql["mark_down"], (datetime_text(now), datetime_text(now - SILENCE))
            )

    def raise_issue(self, mid_sys_id: str, source: str, code: str, message: str) -> None:
        """Add to the open issue of this kind, or open one."""
        with self._records.write(SYSTEM, enforce=False) as transaction:
            now = datetime_text(transaction.now)
            known = transaction.first(
                "ecc_agent_issue", f"mid_server={mid_sys_id}^source={source}^issue_code={code}"
            )
            values = {"message": message[:4000], "last_detected": now, "state": "new"}
            if known is None:
                values |= {"mid_server": mid_sys_id, "source": source, "issue_code": code}
                values |= {"short_description": message[:255], "count": "1"}
                transaction.apply(insert("ecc_agent_issue", values))
            else:
                count = str(int(known.get("count") or 0) + 1)
                transaction.apply(
                    update("ecc_agent_issue", known.sys_id, {**values, "count": count})
                )

    def _enrol(
        self, transaction: RecordTransaction, message: protocol.Enrolment
    ) -> protocol.Enrolled:
        row = transaction.database.row(self._sql["code_by_hash"], (_hash(message.code),))
        if row is None:
            raise CodeRefused("unknown", f"nobody issued the code that {message.name} sent")
        code_id, name, expires, used = row
        if used is not None:
            raise CodeRefused("used", f"the code for {name} was used before")
        if _instant(expires) <= transaction.now:
            raise CodeRefused("expired", f"the code for {name} expired at {expires} UTC")
        agent = self._agent(transaction, str(name), message)
        now = datetime_text(transaction.now)
        if not transaction.database.execute(self._sql["use_code"], (now, agent, now, code_id)):
            raise CodeRefused("used", f"the code for {name} was used at the same moment")
        self._keep_key(transaction, agent, message)
        self._learn_capabilities(transaction, agent, message.capabilities)
        return protocol.Enrolled(agent, str(name), "Down")

    def _agent(self, transaction: RecordTransaction, name: str, message: protocol.Enrolment) -> str:
        """Return the agent of this name, fresh or taken over, in either case not validated."""
        values = {
            "host_name": message.host_name[:254],
            "ip_address": message.ip,
            "host_os_distribution": message.os,
            "version": message.version,
            "validated": "no",
            "status": "Down",
        }
        for agent in transaction.find("ecc_agent", "ORDERBYname"):
            if agent.get("name").lower() == name.lower():
                transaction.apply(update("ecc_agent", agent.sys_id, values))
                return agent.sys_id
        return transaction.apply(insert("ecc_agent", {"name": name, **values})).sys_id

    def _keep_key(
        self, transaction: RecordTransaction, agent: str, message: protocol.Enrolment
    ) -> None:
        now = datetime_text(transaction.now)
        transaction.database.execute(self._sql["withdraw"], (now, agent))
        known = transaction.database.row(self._sql["key_by_signing"], (message.signing_key,))
        values = {"sealing_key": message.sealing_key, "enrolled": now, "withdrawn": ""}
        if known is None:
            values |= {"agent": agent, "signing_key": message.signing_key, "generation": "0"}
            transaction.engine_insert("ecc_agent_key", [values])
        elif str(known[1]) == agent:
            transaction.engine_update("ecc_agent_key", str(known[0]), values)
        else:
            raise CodeRefused("key", f"{message.name} sent the key of another MID server")

    @staticmethod
    def _learn_capabilities(
        transaction: RecordTransaction, agent: str, names: list[protocol.Name]
    ) -> None:
        """Note what the agent has beside what an administrator gave it."""
        held = {
            row.get("capability")
            for row in transaction.find("ecc_agent_capability_m2m", f"agent={agent}")
        }
        known = {
            row.get("name"): row.sys_id for row in transaction.find("ecc_agent_capability", "")
        }
        for name in dict.fromkeys(names):
            capability = known.get(name)
            if capability is None:
                made = transaction.apply(insert("ecc_agent_capability", {"name": name}))
                capability = made.sys_id
            if capability not in held:
                link = {"agent": agent, "capability": capability}
                transaction.apply(insert("ecc_agent_capability_m2m", link))

    def _set_validated(self, name: str, value: str, actor: Actor) -> str:
        with self._records.write(actor, enforce=False) as transaction:
            agent = self.require(transaction, name)
            key = transaction.database.row(self._sql["key_of"], (agent.sys_id,))
            if value == VALIDATED and key is None:
                raise Conflict(
                    f"{agent.get('name')} has no valid key",
                    hint="Enrol it again, then validate it.",
                )
            transaction.apply(update("ecc_agent", agent.sys_id, {"validated": value}))
        return agent.sys_id


def _check_keys(message: protocol.Enrolment) -> None:
    try:
        signing.load_verify_key(message.signing_key)
        sealing.load_seal_key(message.sealing_key)
    except LinkError as error:
        raise CodeRefused("key", f"{message.name} sent an unusable key: {error.message}") from None


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _instant(value: object) -> datetime:
    return parse_datetime(str(value)[:19])
