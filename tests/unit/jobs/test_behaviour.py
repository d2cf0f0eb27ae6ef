"""What every implementation of jobs promises, on both databases."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from tests.guard import GUARD
from tests.unit.jobs.conftest import Driver

from midspan.jobs import (
    Done,
    Every,
    Failed,
    Job,
    JobContext,
    JobOptions,
    Outcome,
    Retry,
    Schedule,
    Wait,
)
from midspan.kernel.errors import FenceLost

QUICK = JobOptions(max_attempts=3, first_delay=timedelta(seconds=1))


def enqueue(driver: Driver, job: Job) -> str:
    with driver.database.write() as transaction:
        return driver.queue.enqueue(transaction, job)


def abandon(driver: Driver, job: Job) -> None:
    with driver.database.write() as transaction:
        driver.queue.enqueue(transaction, job)
        raise RuntimeError


def test_a_job_runs_once_with_its_payload(driver: Driver) -> None:
    seen: list[dict[str, object]] = []

    def handle(context: JobContext) -> Outcome:
        seen.append(context.job.payload)
        return Done({"sum": 3})

    driver.queue.register("add", handle)
    driver.queue.start()
    sys_id = enqueue(driver, Job(kind="add", payload={"of": [1, 2]}))
    row = driver.until(sys_id, "complete")
    assert (row.result, row.attempts, row.fence) == ({"sum": 3}, 1, 1)
    driver.step()
    assert seen == [{"of": [1, 2]}]


def test_a_rolled_back_transaction_leaves_no_job(driver: Driver) -> None:
    driver.queue.register("x", lambda _: Done())
    with pytest.raises(RuntimeError):
        abandon(driver, Job(kind="x", key="gone"))
    with driver.database.read() as transaction:
        assert transaction.rows("SELECT sys_id FROM sys_job") == []


def test_a_key_is_one_job(driver: Driver) -> None:
    runs: list[str] = []
    driver.queue.register("x", lambda context: runs.append(context.job.sys_id) or Done())
    driver.queue.start()
    first = enqueue(driver, Job(kind="x", key="once"))
    driver.until(first, "complete")
    assert enqueue(driver, Job(kind="x", key="once")) == first
    other = enqueue(driver, Job(kind="x", key="other"))
    driver.until(other, "complete")
    assert runs == [first, other]


def test_failures_are_retried_until_the_attempts_are_used_up(driver: Driver) -> None:
    attempts: list[int] = []

    def handle(context: JobContext) -> Outcome:
        attempts.append(context.attempt)
        if context.attempt == 1:
            return Retry(reason="not yet")
        raise ValueError("broken")

    driver.queue.register("x", handle, QUICK)
    driver.queue.start()
    sys_id = enqueue(driver, Job(kind="x"))
    driver.live_until(lambda: driver.read(sys_id).state == "error")
    row = driver.read(sys_id)
    assert attempts == [1, 2, 3]
    assert row.error == "ValueError: broken"


def test_wait_comes_back_and_counts_from_the_start(driver: Driver) -> None:
    seen: list[int] = []

    def handle(context: JobContext) -> Outcome:
        seen.append(context.attempt)
        again = driver.clock.now() + timedelta(seconds=1)
        return Wait(again) if len(seen) < 3 else Done()

    driver.queue.register("x", handle, QUICK)
    driver.queue.start()
    sys_id = enqueue(driver, Job(kind="x"))
    driver.live_until(lambda: driver.read(sys_id).state == "complete")
    assert driver.read(sys_id).fence == 3
    assert seen == [1, 1, 1]


@pytest.mark.parametrize("driver", ["manual"], indirect=True)
@pytest.mark.parametrize(("most", "runs"), [(1, 1), (2, 2), (4, 4), (None, 3)])
def test_the_row_of_a_job_says_how_often_it_is_tried(
    driver: Driver, most: int | None, runs: int
) -> None:
    """``None``: the row came from where nobody knows the kind, whose own number holds then."""
    heard: list[int] = []
    soon = JobOptions(max_attempts=3, first_delay=timedelta(0))

    def given_up(context: JobContext, why: str) -> None:
        heard.append(context.attempt)

    if most is not None:
        driver.queue.register("x", lambda _: Retry(reason="away"), soon, given_up)
    sys_id = enqueue(driver, Job(kind="x"))
    driver.queue.register("x", lambda _: Retry(reason="away"), soon, given_up)
    if most is not None:
        with driver.database.write() as transaction:
            sql = "UPDATE sys_job SET max_attempts = ? WHERE sys_id = ? AND max_attempts = 3"
            assert transaction.execute(sql, (most, sys_id)) == 1
    driver.queue.start()
    row = driver.until(sys_id, "error")
    assert (row.attempts, row.error) == (runs, "away")
    assert heard == [runs]


def test_a_waiting_job_can_be_hastened(driver: Driver) -> None:
    seen: list[int] = []

    def handle(context: JobContext) -> Outcome:
        seen.append(context.fence)
        return Wait(driver.clock.now() + timedelta(hours=1)) if len(seen) == 1 else Done()

    driver.queue.register("x", handle)
    driver.queue.start()
    sys_id = enqueue(driver, Job(kind="x"))
    driver.until(sys_id, "waiting")
    with driver.database.write() as transaction:
        assert driver.queue.hasten(transaction, sys_id)
    driver.until(sys_id, "complete")
    with driver.database.write() as transaction:
        assert not driver.queue.hasten(transaction, sys_id)


def test_failed_ends_at_once_and_for_ever(driver: Driver) -> None:
    driver.queue.register("x", lambda _: Failed("never"))
    driver.queue.start()
    sys_id = enqueue(driver, Job(kind="x"))
    assert driver.until(sys_id, "error").error == "never"
    with driver.database.write() as transaction:
        assert not driver.queue.cancel(transaction, sys_id)
    assert driver.read(sys_id).state == "error"


def test_a_cancelled_run_writes_nothing(driver: Driver) -> None:
    ids: list[str] = []
    lost = threading.Event()

    def handle(context: JobContext) -> Outcome:
        with driver.database.write() as transaction:
            driver.queue.cancel(transaction, ids[0])
        try:
            with driver.database.write() as transaction:
                context.hold(transaction)
        except FenceLost:
            lost.set()
            raise
        return Done({"written": True})

    driver.queue.register("x", handle)
    ids.append(enqueue(driver, Job(kind="x")))
    driver.queue.start()
    row = driver.until(ids[0], "cancelled")
    driver.step()
    assert lost.wait(GUARD)
    assert row.result is None


def test_what_a_dead_node_held_is_taken_after_the_lease(driver: Driver) -> None:
    driver.queue.register("x", lambda _: Done(), JobOptions(lease=timedelta(seconds=1)))
    sys_id = enqueue(driver, Job(kind="x"))
    driver.table.node = "node-2"
    claimed = driver.table.claim(sys_id)
    assert claimed is not None
    driver.table.node = "node-1"
    driver.queue.start()
    driver.pass_time(timedelta(seconds=3))
    assert driver.until(sys_id, "complete").fence == 2
    with pytest.raises(FenceLost), driver.database.write() as transaction:
        driver.table.settle(transaction, claimed[0], Done({"late": True}))
    assert driver.read(sys_id).result is None


def test_what_this_node_held_is_taken_at_its_start(driver: Driver) -> None:
    driver.queue.register("x", lambda _: Done(), JobOptions(lease=timedelta(hours=1)))
    sys_id = enqueue(driver, Job(kind="x"))
    assert driver.table.claim(sys_id) is not None
    driver.queue.start()
    row = driver.until(sys_id, "complete")
    assert (row.fence, row.attempts) == (2, 1)


def test_a_job_that_kills_its_process_is_given_up(driver: Driver) -> None:
    driver.queue.register("x", lambda _: Done(), JobOptions(max_deaths=2))
    sys_id = enqueue(driver, Job(kind="x"))
    for _ in range(2):
        assert driver.table.claim(sys_id) is not None
        driver.table.release()
    driver.queue.start()
    assert "ended 2 processes" in driver.until(sys_id, "error").error


@pytest.mark.parametrize("last", ["failed", "retry", "spent"])
def test_who_asked_for_it_hears_that_a_job_is_given_up(driver: Driver, last: str) -> None:
    outcome = Failed("wrong") if last == "failed" else Retry(reason="away")
    most = 1 if last == "retry" else 2
    heard: list[tuple[str, str]] = []

    def given_up(context: JobContext, why: str) -> None:
        with driver.database.write() as transaction:
            context.finish(transaction, Failed(f"{why}, told"))
            heard.append((context.job.sys_id, why))

    driver.queue.register(
        "x", lambda _: outcome, JobOptions(max_attempts=most, max_deaths=2), given_up
    )
    sys_id = enqueue(driver, Job(kind="x"))
    for _ in range(2 if last == "spent" else 0):
        assert driver.table.claim(sys_id) is not None
        driver.table.release()
    driver.queue.start()
    why = {"failed": "wrong", "retry": "away", "spent": "The job ended 2 processes"}[last]
    assert driver.until(sys_id, "error").error == f"{why}, told"
    assert heard == [(sys_id, why)]


def test_a_job_ends_also_where_its_end_cannot_be_told(driver: Driver) -> None:
    def given_up(context: JobContext, why: str) -> None:
        with driver.database.write() as transaction:
            context.finish(transaction, Failed("never written"))
            raise ValueError(why)

    driver.queue.register("x", lambda _: Failed("wrong"), JobOptions(), given_up)
    sys_id = enqueue(driver, Job(kind="x"))
    driver.queue.start()
    assert driver.until(sys_id, "error").error == "wrong"


def test_urgent_jobs_go_first(driver: Driver) -> None:
    order: list[str] = []
    driver.queue.register("x", lambda context: order.append(context.job.key) or Done())
    ids = [
        enqueue(driver, Job(kind="x", key=f"k{priority}", priority=priority))
        for priority in (300, 100, 200)
    ]
    with driver.database.read() as transaction:
        assert [sys_id for sys_id, _ in driver.table.due(transaction, 9)] == [
            ids[1],
            ids[2],
            ids[0],
        ]
    driver.queue.start()
    for sys_id in ids:
        driver.until(sys_id, "complete")
    assert sorted(order) == ["k100", "k200", "k300"]


def test_a_kind_nobody_handles_waits_for_its_node(driver: Driver) -> None:
    driver.queue.register("x", lambda _: Done())
    driver.queue.start()
    stranger = enqueue(driver, Job(kind="elsewhere"))
    driver.until(enqueue(driver, Job(kind="x")), "complete")
    assert driver.read(stranger).state == "scheduled"


def test_each_slot_of_a_schedule_is_one_job(driver: Driver) -> None:
    slots: list[str] = []
    driver.queue.register("x", lambda context: slots.append(context.job.payload["slot"]) or Done())
    rule = Every(driver.clock.now(), timedelta(seconds=1))
    driver.queue.schedule(Schedule(id="s1", kind="x", rule=rule))
    driver.queue.start()
    driver.live_until(lambda: len(slots) >= 3)
    assert len(slots) == len(set(slots))
    # A node that runs may just be writing one more slot; who handles it finds the schedule gone.
    assert driver.queue.stop(timedelta(seconds=10))
    with driver.database.write() as transaction:
        driver.queue.unschedule(transaction, "s1")
    with driver.database.read() as transaction:
        waiting = "SELECT sys_id FROM sys_job WHERE state = 'scheduled'"
        assert transaction.rows(waiting) == []
