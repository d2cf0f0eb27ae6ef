"""What a job is, what its handler returns, and what state follows from that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from msgspec import Struct

if TYPE_CHECKING:
    from midspan.jobs.table import JobTable
    from midspan.storage import Transaction

TERMINAL = frozenset({"complete", "error", "cancelled"})
"""States that never change again; the others are scheduled, running and waiting."""


class Job(Struct, frozen=True, kw_only=True):
    """Work to be done after the commit of the transaction that asks for it.

    ``key`` is the idempotency key, unique for ever; empty: none. ``run_at`` None: at once.
    A lower ``priority`` goes first. ``payload`` is plain JSON data, never a secret.
    """

    kind: str
    payload: dict[str, Any] = {}
    key: str = ""
    run_at: datetime | None = None
    priority: int = 100
    queue: str = "default"


class JobOptions(Struct, frozen=True, kw_only=True):
    """How jobs of one kind are run.

    ``max_attempts`` counts failed runs; ``Wait`` sets the count back. A new job's row is given it,
    and the row decides from then on. ``max_deaths`` counts runs that ended with their process, one
    after the other: mostly it is not the job that ends it, so many are allowed. ``lease``: how long
    a silent process keeps its jobs.
    """

    max_attempts: int = 5
    max_deaths: int = 100
    lease: timedelta = timedelta(seconds=30)
    first_delay: timedelta = timedelta(seconds=5)
    factor: float = 2.0
    max_delay: timedelta = timedelta(minutes=10)

    def delay(self, attempt: int) -> timedelta:
        """Return the wait after failed attempt number ``attempt``, counted from 1.

        >>> [JobOptions().delay(attempt).seconds for attempt in (1, 2, 3)]
        [5, 10, 20]
        """
        seconds = self.first_delay.total_seconds() * self.factor ** min(attempt - 1, 60)
        return min(timedelta(seconds=min(seconds, 1e9)), self.max_delay)


class Done(Struct, frozen=True):
    """The work is finished; ``result`` is kept with the job."""

    result: dict[str, Any] | None = None


class Wait(Struct, frozen=True):
    """The work goes on at ``until``, or sooner when somebody hastens it."""

    until: datetime


class Retry(Struct, frozen=True):
    """It did not work this time; ``after`` None: the kind's own back-off."""

    after: timedelta | None = None
    reason: str = ""


class Failed(Struct, frozen=True):
    """It will never work."""

    reason: str


Outcome: TypeAlias = Done | Wait | Retry | Failed


def next_state(outcome: Outcome, attempt: int, max_attempts: int) -> str:
    """Return the state that a job goes to.

    >>> next_state(Retry(), 1, 5), next_state(Retry(), 5, 5), next_state(Done(), 1, 5)
    ('scheduled', 'error', 'complete')
    """
    match outcome:
        case Done():
            return "complete"
        case Wait():
            return "waiting"
        case Retry() if attempt < max_attempts:
            return "scheduled"
        case Retry() | Failed():
            return "error"
        case _:
            assert_never(outcome)


class HeldJob(Struct, frozen=True, kw_only=True):
    """A job as its handler gets it."""

    sys_id: str
    kind: str
    payload: dict[str, Any]
    key: str


class JobContext:
    """What a handler works with: the job, the fence it was taken under and the attempt."""

    def __init__(self, job: HeldJob, fence: int, attempt: int, table: JobTable) -> None:
        self.job = job
        self.fence = fence
        self.attempt = attempt
        self._table = table
        self.max_attempts = JobOptions().max_attempts
        """How many attempts the job's row allows."""
        self.deaths = 0
        """How many processes ended under the job since it was last settled."""
        self.finished: str | None = None
        """The state that ``finish`` wrote; None as long as the handler's outcome counts."""

    def finish(self, transaction: Transaction, outcome: Outcome) -> None:
        """Write the outcome of this run in ``transaction``, together with what the run did.

        So the work is done once, also when the process dies right after the commit. What the
        handler returns does not count any more; when the transaction is rolled back, call
        ``reopen``.

        Raises:
            FenceLost: somebody else took the job or cancelled it; write nothing.
        """
        self.finished = self._table.settle(transaction, self, outcome)

    def reopen(self) -> None:
        """Forget ``finish``, because its transaction was rolled back."""
        self.finished = None

    def hold(self, transaction: Transaction) -> None:
        """Renew the lease in ``transaction`` and keep others from taking the job until its end.

        Raises:
            FenceLost: somebody else took the job or cancelled it; write nothing.
        """
        self._table.hold(transaction, self.job, self.fence)


Handler: TypeAlias = Callable[[JobContext], Outcome]
GivenUp: TypeAlias = Callable[[JobContext, str], None]
"""Leaves what a job worked on in a state of its own when the job is given up, and why: the handler
said ``Failed``, had its last attempt, or ended too many processes. It calls ``context.finish`` in
the transaction in which it writes, so both happen or neither."""


class JobKind(Struct, frozen=True):
    """A registered kind: who handles it and how."""

    name: str
    handler: Handler
    options: JobOptions = JobOptions()
    given_up: GivenUp | None = None
