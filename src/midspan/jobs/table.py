"""The rows of ``sys_job``: the truth about every job, its lease and its fence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from midspan.dictionary.values import datetime_text, parse_datetime
from midspan.jobs.job import (
    Done,
    Failed,
    HeldJob,
    Job,
    JobContext,
    JobKind,
    Outcome,
    Retry,
    Wait,
    next_state,
)
from midspan.kernel.clock import Clock
from midspan.kernel.errors import FenceLost, RecordNotFound
from midspan.kernel.ids import IdSource
from midspan.storage import Database, Statements, Transaction

_ERROR = 4000


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """One job as it stands."""

    kind: str
    payload: dict[str, Any]
    state: str
    attempts: int
    fence: int
    result: dict[str, Any] | None
    error: str


class JobTable:
    """Every statement about jobs; all of them are guarded by state and fence."""

    def __init__(self, database: Database, clock: Clock, ids: IdSource, node: str) -> None:
        self.database = database
        self.clock = clock
        self.node = node
        self._ids = ids
        self._sql = Statements("midspan.jobs", "jobs", database.dialect)
        self.kinds: dict[str, JobKind] = {}

    def insert(self, transaction: Transaction, job: Job) -> str:
        """Write a job in the caller's transaction; return its id, or that of its key's first."""
        sys_id = self._ids.uuid7().replace("-", "")
        kind = self.kinds.get(job.kind)
        now = datetime_text(self.clock.now())
        row = (
            sys_id,
            job.kind,
            job.queue,
            msgspec.json.encode(job.payload).decode(),
            _ceiling(job.run_at) if job.run_at else now,
            kind.options.max_attempts if kind else None,
            job.key or sys_id,
            job.priority,
            now,
            now,
        )
        if transaction.execute(self._sql["insert"], row) == 1:
            return sys_id
        known = transaction.row(self._sql["by_key"], (job.key,))
        if known is None:
            raise RecordNotFound("sys_job", job.key)
        return str(known[0])

    def due(self, transaction: Transaction, limit: int) -> list[tuple[str, int]]:
        """Return id and fence of jobs that may be taken now, the most urgent first."""
        if not self.kinds or limit < 1:
            return []
        now = datetime_text(self.clock.now())
        kinds = sorted(self.kinds)
        rows = transaction.rows(self._for_kinds("due", kinds), (now, now, now, *kinds, limit))
        return [(str(sys_id), int(fence)) for sys_id, fence in rows]

    def next_run(self, transaction: Transaction) -> datetime | None:
        """Return when the next job that is not taken wants to run."""
        kinds = sorted(self.kinds)
        row = transaction.row(self._for_kinds("next_run", kinds), kinds) if kinds else None
        return _instant(row[0]) if row and row[0] else None

    def claim(self, sys_id: str) -> tuple[JobContext, JobKind] | None:
        """Take a due job under a new fence; None when it is not to be had."""
        now = self.clock.now()
        with self.database.write() as transaction:
            row = transaction.row("SELECT kind FROM sys_job WHERE sys_id = ?", (sys_id,))
            kind = self.kinds.get(row[0]) if row else None
            if kind is None:
                return None
            found = transaction.row(
                self._sql["claim"],
                (
                    self.node,
                    _ceiling(now + kind.options.lease),
                    datetime_text(now),
                    sys_id,
                    datetime_text(now),
                    datetime_text(now),
                ),
            )
            if found is None:
                return None
            payload, key, fence, attempts, deaths, most = found[1:]
            job = HeldJob(
                sys_id=sys_id, kind=kind.name, payload=msgspec.json.decode(payload), key=key
            )
            context = JobContext(job, int(fence), int(attempts), self)
            context.max_attempts = kind.options.max_attempts if most is None else int(most)
            context.deaths = int(deaths)
        return context, kind

    def hold(self, transaction: Transaction, job: HeldJob, fence: int) -> None:
        """Renew a lease and lock the row; see ``JobContext.hold``."""
        until = _ceiling(self.clock.now() + self.kinds[job.kind].options.lease)
        if transaction.execute(self._sql["renew"], (until, job.sys_id, fence)) != 1:
            raise FenceLost(f"Job {job.sys_id} was taken by another worker or cancelled")

    def renew(self, held: Sequence[JobContext]) -> None:
        """Renew the leases of jobs under way; those that were lost stay lost."""
        now = self.clock.now()
        rows = [
            (
                _ceiling(now + self.kinds[context.job.kind].options.lease),
                context.job.sys_id,
                context.fence,
            )
            for context in held
        ]
        with self.database.write() as transaction:
            transaction.execute_many(self._sql["renew"], rows)

    def settle(self, transaction: Transaction, context: JobContext, outcome: Outcome) -> str:
        """Write what came of a run; return the job's new state.

        Raises:
            FenceLost: the job is somebody else's by now, or has ended.
        """
        options = self.kinds[context.job.kind].options
        now = self.clock.now()
        state = next_state(outcome, context.attempt, context.max_attempts)
        run_at, attempts, result, error = None, context.attempt, None, None
        match outcome:
            case Done():
                result = msgspec.json.encode(outcome.result).decode() if outcome.result else None
            case Wait():
                run_at, attempts = outcome.until, 0
            case Retry():
                run_at = now + (outcome.after or options.delay(context.attempt))
                error = outcome.reason[:_ERROR] or None
            case Failed():
                error = outcome.reason[:_ERROR]
        row = (
            state,
            _ceiling(run_at) if run_at else None,
            attempts,
            result,
            error,
            datetime_text(now),
            context.job.sys_id,
            context.fence,
        )
        if transaction.execute(self._sql["settle"], row) != 1:
            raise FenceLost(f"Job {context.job.sys_id} was taken by another worker or cancelled")
        return state

    def release(self) -> None:
        """Give up what this node held before it was started again."""
        with self.database.write() as transaction:
            now = datetime_text(self.clock.now() - timedelta(seconds=1))
            transaction.execute(self._sql["release"], (now, self.node))

    def hasten(self, transaction: Transaction, sys_id: str) -> bool:
        """Let a job that waits run now; tell whether there was something to hasten."""
        now = datetime_text(self.clock.now())
        return transaction.execute(self._sql["hasten"], (now, sys_id, now)) == 1

    def cancel(self, transaction: Transaction, sys_id: str) -> bool:
        """End a job that has not ended; a run under way loses its fence."""
        now = datetime_text(self.clock.now())
        return transaction.execute(self._sql["cancel"], (now, sys_id)) == 1

    def cancel_schedule(self, transaction: Transaction, prefix: str) -> int:
        """Delete the jobs that wait for a slot of a schedule; return how many.

        A row that stayed would keep its key, and the schedule could never fire in that slot again.
        """
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return transaction.execute(self._sql["cancel_schedule"], (prefix, after))

    def read(self, transaction: Transaction, sys_id: str) -> JobRow:
        """Return one job.

        Raises:
            RecordNotFound: there is none.
        """
        row = transaction.row(self._sql["read"], (sys_id,))
        if row is None:
            raise RecordNotFound("sys_job", sys_id)
        kind, payload, state, attempts, fence, result, error = row
        return JobRow(
            kind=kind,
            payload=msgspec.json.decode(payload),
            state=state,
            attempts=int(attempts),
            fence=int(fence),
            result=msgspec.json.decode(result) if result else None,
            error=error or "",
        )

    def _for_kinds(self, statement: str, kinds: Sequence[str]) -> str:
        return self._sql[statement].replace("KINDS", ", ".join("?" * len(kinds)))


def _ceiling(instant: datetime) -> str:
    """Return the stored text of the first whole second that is not before ``instant``."""
    return datetime_text(instant + timedelta(microseconds=999_999))


def _instant(value: Any) -> datetime:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else parse_datetime(value)
