"""Imports from a database in a private network: an agent reads, the instance loads and transforms.

A start opens the import set and sends the job in one transaction. The sensor only notes the end:
an error ends the set with the agent's words, a result becomes a durable job that feeds the stored
blocks into the staging table, runs the maps and then deletes the blocks. Each step leaves a state
from which the job goes on after a crash, so that every row is loaded and transformed once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from midspan.ecc import CREDENTIAL, Answer, EccMessage, EccQueue, Secrets
from midspan.formats.names import column_names
from midspan.importsets.load import LoadResult, open_set
from midspan.importsets.run import ImportRunner
from midspan.importsets.sourcetypes import convert_rows_of
from midspan.jobs import Done, Failed, Job, JobContext, JobOptions, JobQueue, Outcome, Retry
from midspan.kernel.errors import InvalidDefinition, MidspanError, Unavailable
from midspan.records import Record, RecordStore, RecordTransaction, update
from midspan.security import SYSTEM, Actor
from midspan_link.blocks import Block, decode_rows
from midspan_link.errors import LinkError
from midspan_link.protocol import Secret

TOPIC = "JDBCProbe"
CAPABILITY = "JDBC"
KIND = "import.relay"
SETS = "sys_import_set"
SOURCES = "sys_data_source"
ENDED = frozenset({"processed", "error", "cancelled"})
_OPTIONS = JobOptions(max_attempts=20, lease=timedelta(minutes=2))
"""An import of many pages may outlive as many processes; each of them may have brought it on."""
_MAX_CONNECT = 300


class RelayedLoad(Struct, frozen=True):
    """A load under way: its import set, and the job that the agent was given."""

    import_set: str
    output: str


class RelayImports:
    """Starts and finishes imports through agents; safe to use from many threads.

    Making it registers a sensor with the queue and a handler with the jobs.
    """

    def __init__(
        self, records: RecordStore, runner: ImportRunner, queue: EccQueue, jobs: JobQueue
    ) -> None:
        self._records = records
        self._runner = runner
        self._queue = queue
        self._jobs = jobs
        queue.register(TOPIC, self._sensed)
        jobs.register(KIND, self._finish, _OPTIONS, self._give_up)

    def start_load(
        self, source: str, *, actor: Actor = SYSTEM, import_set: str = ""
    ) -> RelayedLoad:
        """Ask an agent for the rows of a JDBC data source, by name or id.

        ``import_set`` is the id to give the set, so that one start cannot happen twice.

        Raises:
            InvalidDefinition: no such data source, or it does not say what to read.
            UnknownAgent, NoAgent: no agent can be chosen; nothing was started.
            DuplicateKey: this start was made before.
        """
        record = self._runner.source(source)
        message = probe_message(record)
        with self._records.write(actor, enforce=not actor.trusted) as transaction:
            staging = record.get("import_set_table_name")
            opened = open_set(transaction, staging, record.sys_id, sys_id=import_set)
            job = self._queue.send(transaction, replace(message, correlator=opened))
        return RelayedLoad(opened, job)

    def run_now(self, source: str, *, actor: Actor = SYSTEM) -> RelayedLoad:
        """Start an import by hand; ask ``state`` or await ``finished`` for its end."""
        return self.start_load(source, actor=actor)

    def refuse(self, source: Record, why: str, *, import_set: str = "") -> str:
        """Leave a set in state error for a start that did not come about; return its id."""
        with self._records.write(SYSTEM, enforce=False) as transaction:
            staging = source.get("import_set_table_name")
            opened = open_set(transaction, staging, source.sys_id, sys_id=import_set)
            _end(transaction, opened, "error", why)
        return opened

    def state(self, load: RelayedLoad) -> str:
        """Return the state of the import set: loading, loaded, processed, error, cancelled."""
        with self._records.read(SYSTEM) as transaction:
            return transaction.require(SETS, load.import_set).get("state")

    async def finished(self, load: RelayedLoad, *, within: timedelta) -> str:
        """Wait for the end and return the state.

        Raises:
            Unavailable: it did not end within the time; it goes on.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within.total_seconds()
        while (state := await asyncio.to_thread(self.state, load)) not in ENDED:
            if loop.time() > deadline:
                raise Unavailable(f"Import set {load.import_set} is still {state}")
            await asyncio.sleep(0.1)
        return state

    def _sensed(self, transaction: RecordTransaction, answer: Answer) -> None:
        """Note the end of the agent's work, in its transaction."""
        import_set = answer.output.get("agent_correlator")
        known = transaction.load(SETS, (import_set,)) if len(import_set) == 32 else {}
        if not known or known[import_set].get("state") != "loading":
            return
        if answer.state != "processed":
            state = "cancelled" if answer.state == "cancelled" else "error"
            _end(transaction, import_set, state, answer.error_string)
            return
        payload = {
            "import_set": import_set,
            "output": answer.output.sys_id,
            "fence": answer.fence,
        }
        job = Job(kind=KIND, payload=payload, key=f"{KIND}:{answer.output.sys_id}")
        self._jobs.enqueue(transaction.database, job)
        transaction.after_commit(self._jobs.wake)

    def _finish(self, context: JobContext) -> Outcome:
        """Load and transform what an agent sent; goes on where an earlier run stopped."""
        payload = context.job.payload
        import_set, output = str(payload["import_set"]), str(payload["output"])
        with self._records.read(SYSTEM) as transaction:
            record = transaction.load(SETS, (import_set,)).get(import_set)
        if record is None:
            return Done()
        try:
            if record.get("state") == "loading":
                self._load(record, output, int(payload["fence"]))
            if record.get("state") in ("loading", "loaded"):
                staging = record.get("table_name")
                self._runner.transform(LoadResult(import_set, staging, 0, ()))
        except Unavailable as error:
            return Retry(reason=error.message)
        except (MidspanError, LinkError) as error:
            return Failed(error.explain())
        with self._records.database.write() as database:
            self._queue.blocks.drop(database, output)
        return Done()

    def _give_up(self, context: JobContext, why: str) -> None:
        """Leave the set in error, unless it has ended, and delete what the agent sent."""
        import_set, output = str(context.job.payload["import_set"]), context.job.payload["output"]
        with self._records.write(SYSTEM, enforce=False) as transaction:
            context.finish(transaction.database, Failed(why))
            record = transaction.get(SETS, import_set)
            if record is not None and record.get("state") not in ENDED:
                _end(transaction, import_set, "error", why)
            self._queue.blocks.drop(transaction.database, str(output))

    def _load(self, record: Record, output: str, fence: int) -> None:
        source = self._runner.source(record.get("data_source"))
        blocks = self._blocks(output, fence)
        first = next(blocks, None)
        if first is None:
            raise InvalidDefinition("The agent sent no block, so the columns are unknown")
        limit = int(source.get("maximum_rows") or 0) or None
        self._runner.loader.load_rows(
            islice(_rows(first, blocks), limit),
            column_names([column.name for column in first.header.columns]),
            record.get("table_name"),
            source=source.sys_id,
            import_set=record.sys_id,
        )

    def _blocks(self, output: str, fence: int) -> Iterator[Block]:
        """Yield the blocks, each read over a connection of its own: a COPY keeps its own busy."""
        number = 0
        while True:
            with self._records.database.read() as database:
                block = self._queue.blocks.get(database, output, fence, number)
            if block is None:
                return
            yield block
            number += 1


class DataSourceSecrets:
    """``Secrets`` that also know the user and password written into a data source itself."""

    def __init__(self, stored: Secrets) -> None:
        self._stored = stored

    def find(self, transaction: RecordTransaction, alias: str, mid_sys_id: str) -> Secret | None:
        """Return the secret for an alias or for ``sys_data_source:<id>``, or None."""
        table, _, sys_id = alias.partition(":")
        if table != SOURCES:
            return self._stored.find(transaction, alias, mid_sys_id)
        record = transaction.load(SOURCES, (sys_id,)).get(sys_id)
        if record is None or record.get("mid_server") not in ("", mid_sys_id):
            return None
        password = transaction.store.reveal(
            SOURCES, sys_id, "jdbc_password", record.get("jdbc_password")
        )
        return Secret(user=record.get("jdbc_user_name"), password=password)


def probe_message(source: Record) -> EccMessage:
    """Return the job that reads a data source; it holds no secret.

    Raises:
        InvalidDefinition: it is no JDBC source, or does not say what and where to read.
    """
    name = source.get("name")
    if source.get("type") != "JDBC":
        raise InvalidDefinition(
            f"Data source {name} has the type {source.get('type')}",
            hint="Only JDBC sources are read by an agent.",
        )
    if not source.get("import_set_table_name"):
        raise InvalidDefinition(f"Data source {name} names no import set table")
    return EccMessage(
        topic=TOPIC,
        parameters={**_place(source), **_statement(source), **_limits(source)},
        agent=source.get("mid_server"),
        capability=CAPABILITY,
        name=name[:100],
        source=source.sys_id,
        repeatable=True,
    )


def _place(source: Record) -> dict[str, str]:
    if source.get("mid_target"):
        return {"target": source.get("mid_target")}
    url = source.get("connection_url") or _built(source)
    if not url:
        raise InvalidDefinition(
            f"Data source {source.get('name')} does not say where to read",
            hint="Set a target that the MID server knows, a connection URL, or server and database",
        )
    alias = source.get("credential_alias")
    if not alias and source.get("jdbc_user_name"):
        alias = f"{SOURCES}:{source.sys_id}"
    return {"connection_url": url, **({CREDENTIAL: alias} if alias else {})}


def _built(source: Record) -> str:
    if not source.get("jdbc_server"):
        return ""
    port = f":{source.get('database_port')}" if source.get("database_port") else ""
    scheme = source.get("format").lower()
    return f"{scheme}://{source.get('jdbc_server')}{port}/{source.get('database_name')}"


def _statement(source: Record) -> dict[str, str]:
    if source.get("query") == "Specific SQL":
        wanted = {"sql_statement": source.get("sql_statement")}
    else:
        wanted = {"table": source.get("table_name")}
    if not next(iter(wanted.values())).strip():
        raise InvalidDefinition(
            f"Data source {source.get('name')} does not say what to read",
            hint="Set its table name, or its SQL statement with the query 'Specific SQL'.",
        )
    return wanted


def _limits(source: Record) -> dict[str, str]:
    limits: dict[str, str] = {}
    if (timeout := int(source.get("query_timeout") or 0)) > 0:
        limits["query_timeout"] = str(timeout)
    if (connect := int(source.get("connection_timeout") or 0)) > 0:
        limits["connection_timeout"] = str(min(connect, _MAX_CONNECT))
    return limits


def _rows(first: Block, rest: Iterator[Block]) -> Iterator[tuple[int, Sequence[str | None]]]:
    columns = first.header.columns
    convert = convert_rows_of(columns)
    number = 0
    block: Block | None = first
    while block is not None:
        if block.header.columns != columns:
            raise InvalidDefinition(f"Block {block.header.number} has other columns than the first")
        for row in decode_rows(block.raw, len(columns)):
            number += 1
            yield number, convert(row)
        block = next(rest, None)


def _end(transaction: RecordTransaction, import_set: str, state: str, message: str) -> None:
    values = {"state": state, "message": message[:4000], "short_description": message[:160]}
    transaction.apply(update(SETS, import_set, values))
