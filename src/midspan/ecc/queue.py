"""The queue between the instance and its agents: jobs under leases and fences, and their ends.

``ecc_queue`` is a table for people and clients, too, so what they see of a job is written through
``records.apply``: its insertion, its end and the input that answers it, with rules and access
controls. What only keeps agents apart (``processing``, ``claimed_by``, ``lease_until``, ``fence``,
``attempts``) is written by conditional statements of ``sql/ecc.sql`` in the same transaction: a
statement that touches no row has lost, and nothing runs between the test and the write. The end of
a job does both: first the conditional statement, which also locks the row, then ``apply``.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from midspan.dictionary.values import datetime_text
from midspan.ecc.blockstore import BlockStore, read
from midspan.ecc.ending import TABLE, Endings
from midspan.ecc.enrolment import MidServer
from midspan.ecc.errors import BlockRefused, JobFenceLost, JobGone, NoAgent
from midspan.ecc.message import (
    AGENT_PREFIX,
    CREDENTIAL,
    OUTCOME_UNKNOWN,
    Answer,
    EccMessage,
    Secrets,
    Sensor,
)
from midspan.ecc.selection import select
from midspan.ecc.signal import Signal
from midspan.kernel.errors import InvalidValue, MidspanError
from midspan.records import Record, RecordStore, RecordTransaction, insert, update
from midspan.security import SYSTEM
from midspan.storage import Statements
from midspan_link import protocol, sealing
from midspan_link.errors import LinkError
from midspan_link.parameters import Results, read_parameters, read_results, write_parameters

MAX_REPLY = 8 * 1024 * 1024
"""Bytes of payloads in one answer to a poll."""

_log = logging.getLogger(__name__)


class EccOptions(Struct, frozen=True):
    """``lease``: how long a silent agent keeps a job. ``patience``: how much longer a job that may
    not run twice waits for its agent before its outcome counts as unknown."""

    lease: timedelta = timedelta(seconds=30)
    patience: timedelta = timedelta(minutes=5)


class Offer(Struct, frozen=True):
    """What a poll gets."""

    jobs: list[protocol.Job]
    cancel: list[str]


class EccQueue:
    """Sends jobs, hands them to agents, takes their results; safe to use from many threads."""

    def __init__(
        self,
        records: RecordStore,
        secrets: Secrets | None = None,
        options: EccOptions | None = None,
    ) -> None:
        self.records = records
        self.signal = Signal()
        self.options = options or EccOptions()
        self._secrets = secrets
        self._endings = Endings(self.next_sequence)
        self._sql = Statements("midspan.ecc", "ecc", records.database.dialect)
        self._blocks = BlockStore(self._sql)
        self._numbers = itertools.count(1)

    # Sending

    def register(self, topic: str, sensor: Sensor) -> None:
        """Tell a sensor about the end of every job of a topic.

        Raises:
            InvalidDefinition: the topic has a sensor already.
        """
        self._endings.register(topic, sensor)

    def send(self, transaction: RecordTransaction, message: EccMessage) -> str:
        """Write a job in the caller's transaction, for one agent; return its id.

        Raises:
            UnknownAgent, NoAgent: see ``selection.select``.
            InvalidValue: the parameters do not fit into a payload.
        """
        try:
            payload = write_parameters(message.parameters)
        except LinkError as error:
            raise InvalidValue(f"The parameters cannot be sent: {error.message}") from None
        choice = select(transaction, name=message.agent, capability=message.capability)
        made = transaction.apply(
            insert(
                TABLE,
                {
                    "agent": AGENT_PREFIX + choice.name,
                    "mid_server": choice.mid_sys_id,
                    "selection_reason": choice.reason[:1000],
                    "capability": "" if message.agent else message.capability,
                    "topic": message.topic,
                    "name": message.name,
                    "source": message.source,
                    "queue": "output",
                    "state": "ready",
                    "payload": payload,
                    "agent_correlator": message.correlator,
                    "sequence": self.next_sequence(transaction.now),
                    "priority": str(message.priority),
                    "repeatable": "true" if message.repeatable else "false",
                },
            )
        )
        transaction.after_commit(self.signal.fire)
        return made.sys_id

    def cancel(self, transaction: RecordTransaction, job: str) -> None:
        """End a job that waits; ask the agent to give up one that it holds."""
        record = transaction.require(TABLE, job)
        if record.get("state") == "ready":
            ended = Answer(
                output=record,
                input_id="",
                state="cancelled",
                fence=_fence(record),
                error_code="cancelled",
                error_string="The job was cancelled",
            )
            self._endings.end(transaction, ended, {"claimed_by": ""}, payload="")
        elif record.get("state") == "processing":
            transaction.apply(update(TABLE, job, {"cancel_requested": "true"}))
            transaction.after_commit(self.signal.fire)

    def next_sequence(self, now: datetime) -> str:
        """Return an ordering value: milliseconds since 1970 and a counter of this process."""
        return f"{int(now.timestamp() * 1000):013d}{next(self._numbers) % 1_000_000:06d}"

    # Claiming

    def has_news(self, mid: MidServer, request: protocol.PollRequest) -> bool:
        """Tell cheaply whether ``claim`` would find anything."""
        known = {(held.job, held.fence) for held in request.running}
        with self.records.database.read() as database:
            for job, fence, cancelled in database.rows(self._sql["held_by"], (mid.sys_id,)):
                if cancelled or (job, fence) not in known:
                    return True
            if mid.paused or not request.free or not request.topics:
                return False
            sql = _for_topics(self._sql["waiting"], request.topics)
            return database.row(sql, (mid.sys_id, *request.topics)) is not None

    def claim(self, mid: MidServer, request: protocol.PollRequest) -> Offer:
        """Claim up to ``free`` jobs, the most urgent and oldest first.

        Jobs that this agent holds and does not know of are offered again under the same fence.
        """
        if not mid.validated:
            return Offer([], [])
        known = {(held.job, held.fence) for held in request.running}
        with self.records.write(SYSTEM, enforce=False) as transaction:
            held = transaction.database.rows(self._sql["held_by"], (mid.sys_id,))
            lost = [(str(job), int(fence)) for job, fence, _ in held if (job, fence) not in known]
            room = _Room(min(max(request.free, len(lost)), protocol.MAX_JOBS))
            until = self._until(transaction.now)
            for job, fence in lost:
                if transaction.database.execute(self._sql["hold"], (until, job, fence, mid.sys_id)):
                    self._offer(transaction, mid, (job, fence), room)
            if not mid.paused and request.topics:
                self._claim_ready(transaction, mid, request, known, room)
        return Offer(room.jobs, [str(job) for job, _, cancelled in held if cancelled])

    def _claim_ready(
        self,
        transaction: RecordTransaction,
        mid: MidServer,
        request: protocol.PollRequest,
        known: set[tuple[str, int]],
        room: _Room,
    ) -> None:
        free = min(request.free - len(room.jobs), protocol.MAX_JOBS - len(room.jobs))
        if free <= 0:
            return
        sql = _for_topics(self._sql["ready"], request.topics)
        lock = "" if self.records.database.single_writer else "FOR UPDATE SKIP LOCKED"
        found = transaction.database.rows(
            sql.replace("LOCK", lock), (mid.sys_id, *request.topics, free)
        )
        now = transaction.now
        for job, fence, claimed_by in found:
            if claimed_by == mid.sys_id and (job, fence) in known:
                self._hold(transaction, mid, str(job), int(fence))
                continue
            if room.full:
                return
            values = (mid.sys_id, self._until(now), int(fence) + 1, datetime_text(now), job, fence)
            if transaction.database.execute(self._sql["claim"], values):
                self._blocks.drop(transaction.database, str(job))
                self._offer(transaction, mid, (str(job), int(fence) + 1), room)

    def _offer(
        self, transaction: RecordTransaction, mid: MidServer, claim: tuple[str, int], room: _Room
    ) -> None:
        """Add the job to the answer, or end it when it cannot be told to an agent."""
        record = transaction.load(TABLE, (claim[0],))[claim[0]]
        try:
            room.add(self._job(transaction, mid, record, claim[1]))
        except (LinkError, MidspanError) as error:
            self._fail(transaction, record, "invalid_job", error.message)

    def _job(
        self, transaction: RecordTransaction, mid: MidServer, record: Record, fence: int
    ) -> protocol.Job:
        payload = record.get("payload")
        if len(payload) > protocol.MAX_RESULT:
            raise InvalidValue(f"The payload is longer than {protocol.MAX_RESULT} characters")
        alias = read_parameters(payload).get(CREDENTIAL, "")
        sealed = {}
        if alias:
            secret = self._secrets.find(transaction, alias, mid.sys_id) if self._secrets else None
            if secret is None:
                raise InvalidValue(f"No active credential for {mid.name} has the alias {alias!r}")
            context = sealing.job_context(mid.sys_id, record.sys_id, fence, alias)
            sealed[alias] = sealing.seal(protocol.encode(secret), mid.sealing_key, context)
        return protocol.Job(
            id=record.sys_id,
            fence=fence,
            lease_seconds=self.lease_seconds,
            topic=record.get("topic"),
            name=record.get("name"),
            source=record.get("source"),
            payload=payload,
            sealed=sealed,
            repeatable=record.get("repeatable") == "true",
            priority=min(max(int(record.get("priority") or 2), 0), 2),
            agent_correlator=record.get("agent_correlator"),
        )

    # Working

    @property
    def lease_seconds(self) -> int:
        """The lease in whole seconds."""
        return int(self.options.lease.total_seconds())

    def renew(self, mid: MidServer, job: str, fence: int) -> int:
        """Keep the job for another lease; return its seconds.

        Raises:
            JobGone, JobFenceLost: it is not this agent's, or not under this fence.
        """
        with self.records.write(SYSTEM, enforce=False) as transaction:
            self._hold(transaction, mid, job, fence)
        return self.lease_seconds

    def release(self, mid: MidServer, job: str, message: protocol.Release) -> None:
        """Take a job back that was not started, or may run again; raises as ``renew``."""
        with self.records.write(SYSTEM, enforce=False) as transaction:
            values = (datetime_text(transaction.now), job, message.fence, mid.sys_id)
            if not transaction.database.execute(self._sql["release"], values):
                self._lost(transaction, mid, job)
            self._blocks.drop(transaction.database, job)
            transaction.after_commit(self.signal.fire)
        _log.info("job released: %s", message.reason, extra={"job": job, "mid": mid.name})

    def next_block(self, mid: MidServer, job: str, fence: int) -> int:
        """Return the block number wanted next; raises as ``renew``."""
        with self.records.write(SYSTEM, enforce=False) as transaction:
            self._hold(transaction, mid, job, fence)
            return self._blocks.count(transaction.database, job, fence)

    def put_block(self, mid: MidServer, job: str, fence: int, number: int, frame: bytes) -> int:
        """Store block ``number``; return the number wanted next. Renews the lease.

        Raises:
            JobGone, JobFenceLost, BlockConflict, BlockRefused: nothing was stored.
        """
        if read(frame).header.number != number:
            raise BlockRefused(f"The block says another number than {number}")
        with self.records.write(SYSTEM, enforce=False) as transaction:
            self._hold(transaction, mid, job, fence)
            return self._blocks.put(transaction, job, fence, frame)

    def complete(self, mid: MidServer, job: str, message: protocol.Completion) -> None:
        """End a job, write its input and run its sensor, in one transaction.

        Repeating a completion under the same fence changes nothing.

        Raises:
            JobGone, JobFenceLost, Incomplete: nothing was written.
        """
        with self.records.write(SYSTEM, enforce=False) as transaction:
            if self._ended_before(transaction, mid, job, message.fence):
                return
            self._hold(transaction, mid, job, message.fence)
            output = transaction.load(TABLE, (job,))[job]
            if message.state == "processed":
                self._blocks.check(transaction.database, job, message)
            else:
                self._blocks.drop(transaction.database, job)
            done = message.state == "processed"
            answer = Answer(
                output=output,
                input_id=self.records.ids.sys_id(),
                state=message.state,
                fence=message.fence,
                results=_results(message.result),
                blocks=message.blocks if done else 0,
                rows=message.rows if done else 0,
                error_code=message.error_code,
                error_string=message.error_string,
            )
            facts = {
                "started": datetime_text(message.started),
                "duration_ms": str(message.duration_ms),
                "blocks": str(answer.blocks),
                "output_rows": str(answer.rows),
                "digest": message.digest if done else "",
            }
            self._endings.end(transaction, answer, facts, payload=message.result)

    def expire(self) -> int:
        """Deal with jobs of silent agents; return how many were touched. Call it every few seconds.

        A repeatable job is ready again, for another agent when it was chosen by capability and its
        own is not to be had. Its agent may still go on until the next claim. Any other job ends in
        error after ``patience``: its outcome is unknown.
        """
        now = self.records.clock.now()
        touched = 0
        with self.records.write(SYSTEM, enforce=False) as transaction:
            limit = datetime_text(now)
            for (job,) in transaction.database.rows(self._sql["reopened"], (limit,)):
                touched += transaction.database.execute(self._sql["reopen"], (limit, job, limit))
                self._choose_again(transaction, str(job))
            limit = datetime_text(now - self.options.patience)
            for (job,) in transaction.database.rows(self._sql["expired"], (limit,)):
                if transaction.database.execute(self._sql["expire"], (job, limit)):
                    touched += 1
                    self._blocks.drop(transaction.database, str(job))
                    record = transaction.load(TABLE, (str(job),))[str(job)]
                    self._fail(transaction, record, OUTCOME_UNKNOWN, _unknown(record))
            if touched:
                transaction.after_commit(self.signal.fire)
        return touched

    # Blocks for sensors

    @property
    def blocks(self) -> BlockStore:
        """The stored blocks of jobs that ended ``processed``."""
        return self._blocks

    # Within

    def _until(self, now: datetime) -> str:
        return datetime_text(now + self.options.lease)

    def _hold(self, transaction: RecordTransaction, mid: MidServer, job: str, fence: int) -> None:
        """Renew the lease and keep others off the row until the end of the transaction."""
        values = (self._until(transaction.now), job, fence, mid.sys_id)
        if not transaction.database.execute(self._sql["hold"], values):
            self._lost(transaction, mid, job)

    def _lost(self, transaction: RecordTransaction, mid: MidServer, job: str) -> None:
        row = transaction.database.row(self._sql["job"], (job,))
        if row is None or mid.sys_id not in (row[2], row[3]):
            raise JobGone(f"{mid.name} has no job {job}")
        raise JobFenceLost(
            f"Job {job} is {row[0]} under fence {row[1]}", hint="Forget it; nothing was written."
        )

    def _ended_before(
        self, transaction: RecordTransaction, mid: MidServer, job: str, fence: int
    ) -> bool:
        row = transaction.database.row(self._sql["job"], (job,))
        return row is not None and (
            row[0] in ("processed", "error") and int(row[1]) == fence and row[2] == mid.sys_id
        )

    def _choose_again(self, transaction: RecordTransaction, job: str) -> None:
        record = transaction.load(TABLE, (job,))[job]
        if not record.get("capability"):
            return
        try:
            choice = select(transaction, capability=record.get("capability"))
        except NoAgent:
            return
        if choice.mid_sys_id != record.get("mid_server"):
            values = {
                "mid_server": choice.mid_sys_id,
                "agent": AGENT_PREFIX + choice.name,
                "selection_reason": f"{record.get('agent')} went silent; {choice.reason}"[:1000],
            }
            transaction.apply(update(TABLE, job, values))

    def _fail(self, transaction: RecordTransaction, record: Record, code: str, text: str) -> None:
        answer = Answer(
            output=record,
            input_id=self.records.ids.sys_id(),
            state="error",
            fence=_fence(record),
            error_code=code,
            error_string=text,
        )
        self._endings.end(transaction, answer, {}, payload="")


class _Room:
    """The answer to a poll, up to a number of jobs and a size."""

    def __init__(self, places: int) -> None:
        self.jobs: list[protocol.Job] = []
        self._places = places
        self._size = 0

    @property
    def full(self) -> bool:
        return len(self.jobs) >= self._places or self._size >= MAX_REPLY

    def add(self, job: protocol.Job) -> None:
        if not self.full:
            self._size += len(protocol.encode(job))
            self.jobs.append(job)


def _for_topics(sql: str, topics: Sequence[str]) -> str:
    return sql.replace("TOPICS", ", ".join("?" * len(topics)))


def _fence(record: Record) -> int:
    return int(record.get("fence") or 0)


def _results(text: str) -> Results | None:
    try:
        return read_results(text) if text else None
    except LinkError:
        return None


def _unknown(record: Record) -> str:
    name = record.get("agent").removeprefix(AGENT_PREFIX)
    return (
        f"{name} took the job and was not heard of since. Its effect may have happened, so it is "
        "not run again: check, then send a new job if needed"
    )
