"""Leases, fences, blocks, order, ends and expiry of jobs; on both databases."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from midspan.ecc.enrolment import Enrolments, MidServer
from midspan.ecc.errors import (
    BlockConflict,
    BlockRefused,
    Incomplete,
    JobFenceLost,
    JobGone,
    NoAgent,
    UnknownAgent,
)
from midspan.ecc.hook import QueueHook
from midspan.ecc.message import Answer, EccMessage
from midspan.ecc.queue import EccQueue
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import InvalidRequest
from midspan.records import RecordTransaction, insert
from midspan.security import SYSTEM
from midspan_link import protocol
from midspan_link.blocks import BlockWriter, Column
from midspan_link.parameters import Results, write_results

from .conftest import NUMBERS, introduction

TOPIC = "JDBCProbe"
LEASE = timedelta(seconds=30)


class Desk:
    """A queue with one agent, and short words for what tests do with it."""

    def __init__(self, instance: Instance, mid: MidServer) -> None:
        self.records = instance.records
        self.mid = mid
        self.queue = EccQueue(instance.records)
        self.topic = f"Topic{next(NUMBERS)}"

    def send(self, **more: object) -> str:
        values = {"topic": self.topic, "parameters": {"a": "1"}, "agent": self.mid.name, **more}
        with self.records.write(SYSTEM, enforce=False) as transaction:
            return self.queue.send(transaction, EccMessage(**values))  # type: ignore[arg-type]

    def poll(self, free: int = 5, running: Mapping[str, int] | None = None) -> list[protocol.Job]:
        held = [protocol.HeldJob(job, fence) for job, fence in (running or {}).items()]
        return self.queue.claim(self.mid, protocol.PollRequest(free, [self.topic], held)).jobs

    def row(self, job: str) -> Mapping[str, str]:
        with self.records.read(SYSTEM) as transaction:
            return transaction.require("ecc_queue", job).values

    def inputs(self, job: str) -> list[Mapping[str, str]]:
        with self.records.read(SYSTEM) as transaction:
            found = transaction.find("ecc_queue", f"response_to={job}")
        return [record.values for record in found]


@pytest.fixture
def desk(instance: Instance, mid: MidServer) -> Desk:
    return Desk(instance, mid)


def frames(count: int, note: str = "") -> tuple[list[bytes], BlockWriter]:
    writer = BlockWriter([Column("a")], cut_rows=1)
    return list(writer.add_rows([[f"{note}{n}"] for n in range(count)])), writer


def completion(
    fence: int, writer: BlockWriter | None = None, **more: object
) -> protocol.Completion:
    values = {
        "fence": fence,
        "state": "processed",
        "blocks": writer.blocks if writer else 0,
        "rows": writer.rows if writer else 0,
        "digest": protocol.output_digest(writer.digests if writer else []),
        "started": datetime(2026, 1, 31, tzinfo=UTC),
        "duration_ms": 12,
        "result": write_results(Results({"rows": "1"}, {})),
        **more,
    }
    return protocol.Completion(**values)  # type: ignore[arg-type]


def test_jobs_are_claimed_by_priority_then_age_and_only_once(desk: Desk) -> None:
    late, first, second = desk.send(), desk.send(priority=0), desk.send(priority=0)
    jobs = desk.poll(free=2)
    assert [job.id for job in jobs] == [first, second]
    assert [(job.fence, job.lease_seconds) for job in jobs] == [(1, 30)] * 2
    assert desk.row(first)["state"] == "processing"
    known = {job.id: job.fence for job in jobs}
    assert [job.id for job in desk.poll(running=known)] == [late]
    assert desk.poll(running={**known, late: 1}) == []


def test_a_lost_answer_is_offered_again_under_the_same_fence(desk: Desk) -> None:
    job = desk.send()
    (one,) = desk.poll()
    request = protocol.PollRequest(1, [desk.topic])
    assert desk.queue.has_news(desk.mid, request)
    (two,) = desk.poll()
    assert (one.id, one.fence) == (two.id, two.fence) == (job, 1)
    held = [protocol.HeldJob(job, 1)]
    assert not desk.queue.has_news(desk.mid, protocol.PollRequest(1, [desk.topic], held))


def test_agents_without_validation_or_on_pause_get_no_job(
    desk: Desk, enrolments: Enrolments
) -> None:
    desk.send()
    enrolments.invalidate(desk.mid.name, SYSTEM)
    desk.mid = enrolments.find(desk.mid.sys_id)
    assert desk.poll() == []
    enrolments.validate(desk.mid.name, SYSTEM)
    desk.mid = enrolments.find(desk.mid.sys_id)
    assert len(desk.poll()) == 1


def test_polls_at_the_same_time_share_the_jobs_out(desk: Desk) -> None:
    for _ in range(8):
        desk.send()
    claimed: list[str] = []

    def claim() -> None:
        request = protocol.PollRequest(8, [desk.topic], [])
        claimed.extend(f"{j.id}:{j.fence}" for j in desk.queue.claim(desk.mid, request).jobs)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(claimed)) == 8  # the same agent may be told twice, never under two fences


def test_blocks_are_stored_in_order_once_and_cleared_by_a_new_claim(desk: Desk) -> None:
    job = desk.send()
    desk.poll()
    sent, _ = frames(3)
    put = desk.queue.put_block
    assert put(desk.mid, job, 1, 1, sent[1]) == 0
    assert put(desk.mid, job, 1, 0, sent[0]) == 1
    assert put(desk.mid, job, 1, 0, sent[0]) == 1
    with pytest.raises(BlockConflict):
        put(desk.mid, job, 1, 0, frames(1, "other")[0][0])
    with pytest.raises(BlockRefused):
        put(desk.mid, job, 1, 2, sent[1])
    with pytest.raises(BlockRefused):
        put(desk.mid, job, 1, 1, b"no block at all")
    assert desk.queue.next_block(desk.mid, job, 1) == 1
    desk.queue.release(desk.mid, job, protocol.Release(1, "not started"))
    (again,) = desk.poll()
    assert again.fence == 2
    assert desk.queue.next_block(desk.mid, job, 2) == 0
    with pytest.raises(JobFenceLost):
        put(desk.mid, job, 1, 1, sent[1])


def test_a_completion_writes_input_and_tells_the_sensor_in_one_transaction(desk: Desk) -> None:
    told: list[Answer] = []

    def sensor(transaction: RecordTransaction, answer: Answer) -> None:
        told.append(answer)
        blocks = desk.queue.blocks.read(transaction.database, answer.output.sys_id, answer.fence)
        assert [block.header.rows for block in blocks] == [1, 1]

    desk.queue.register(desk.topic, sensor)
    job = desk.send(correlator="c1")
    desk.poll()
    sent, writer = frames(2)
    for number, frame in enumerate(sent):
        desk.queue.put_block(desk.mid, job, 1, number, frame)
    with pytest.raises(Incomplete):
        desk.queue.complete(desk.mid, job, completion(1, writer, digest="0" * 64))
    for _ in range(2):
        desk.queue.complete(desk.mid, job, completion(1, writer))
    (answer,) = told
    assert (answer.blocks, answer.rows, answer.state) == (2, 2, "processed")
    assert answer.results is not None
    assert answer.results.outputs == {"rows": "1"}
    (entry,) = desk.inputs(job)
    assert (entry["queue"], entry["state"]) == ("input", "processed")
    assert (entry["agent_correlator"], entry["topic"]) == ("c1", desk.topic)
    row = desk.row(job)
    assert (row["state"], row["output_rows"], row["blocks"]) == ("processed", "2", "2")
    with pytest.raises(JobFenceLost):
        desk.queue.renew(desk.mid, job, 1)


def test_an_error_drops_the_blocks_and_is_told(desk: Desk) -> None:
    job = desk.send()
    desk.poll()
    desk.queue.put_block(desk.mid, job, 1, 0, frames(1)[0][0])
    ended = completion(1, None, state="error", error_code="jdbc.query", error_string="bad SQL")
    desk.queue.complete(desk.mid, job, ended)
    assert (desk.row(job)["state"], desk.row(job)["error_string"]) == ("error", "bad SQL")
    with desk.records.database.read() as database:
        assert desk.queue.blocks.count(database, job, 1) == 0
    assert [entry["state"] for entry in desk.inputs(job)] == ["ready"]


def test_a_failing_sensor_is_noted_and_takes_back_only_its_own_writes(desk: Desk) -> None:
    def sensor(transaction: RecordTransaction, answer: Answer) -> None:
        transaction.apply(insert("cmn_department", {"name": f"dep {answer.output.sys_id}"}))
        raise InvalidRequest("cannot use it")

    desk.queue.register(desk.topic, sensor)
    job = desk.send()
    desk.poll()
    desk.queue.complete(desk.mid, job, completion(1))
    (entry,) = desk.inputs(job)
    assert entry["state"] == "error"
    assert "cannot use it" in entry["error_string"]
    assert desk.row(job)["state"] == "processed"
    with desk.records.read(SYSTEM) as transaction:
        assert transaction.first("cmn_department", f"name=dep {job}") is None


def test_a_repeatable_job_is_ready_again_and_its_agent_may_go_on_until_the_claim(
    desk: Desk, clock: ManualClock
) -> None:
    job = desk.send(repeatable=True)
    desk.poll()
    clock.advance(LEASE + timedelta(seconds=1))
    assert desk.queue.expire() >= 1
    assert desk.row(job)["state"] == "ready"
    assert desk.queue.renew(desk.mid, job, 1) == 30
    assert desk.row(job)["state"] == "processing"
    clock.advance(LEASE + timedelta(seconds=1))
    desk.queue.expire()
    (again,) = desk.poll()
    assert (again.id, again.fence) == (job, 2)
    with pytest.raises(JobFenceLost):
        desk.queue.complete(desk.mid, job, completion(1))
    desk.queue.complete(desk.mid, job, completion(2))


def test_a_job_that_may_not_run_twice_ends_with_its_outcome_unknown(
    desk: Desk, clock: ManualClock
) -> None:
    job = desk.send()
    desk.poll()
    clock.advance(LEASE + timedelta(seconds=1))
    desk.queue.expire()
    assert desk.row(job)["state"] == "processing"
    assert desk.queue.renew(desk.mid, job, 1) == 30
    clock.advance(LEASE + desk.queue.options.patience + timedelta(seconds=1))
    desk.queue.expire()
    row = desk.row(job)
    assert (row["state"], row["error_code"]) == ("error", "outcome_unknown")
    assert desk.poll() == []
    with pytest.raises(JobFenceLost):
        desk.queue.complete(desk.mid, job, completion(1))
    assert [entry["error_code"] for entry in desk.inputs(job)] == ["outcome_unknown"]


def test_jobs_of_others_do_not_exist_for_an_agent(desk: Desk, enrolments: Enrolments) -> None:
    job = desk.send()
    desk.poll()
    name = f"mid{next(NUMBERS)}"
    other = enrolments.enrol(introduction(enrolments.issue_code(name, SYSTEM).code))
    enrolments.validate(name, SYSTEM)
    with pytest.raises(JobGone):
        desk.queue.renew(enrolments.find(other.mid_sys_id), job, 1)
    with pytest.raises(JobGone):
        desk.queue.complete(desk.mid, "0" * 32, completion(1))


def test_selection_by_capability_takes_one_that_is_up_and_says_why(
    desk: Desk, enrolments: Enrolments, clock: ManualClock
) -> None:
    job = desk.send(agent="", capability="JDBC")
    assert "JDBC" in desk.row(job)["selection_reason"]
    with pytest.raises(NoAgent, match=f"{desk.mid.name} lacks the capability SNMP"):
        desk.send(agent="", capability="SNMP")
    clock.advance(timedelta(minutes=5))
    with pytest.raises(NoAgent, match="silent"):
        desk.send(agent="", capability="JDBC")
    with pytest.raises(UnknownAgent, match="no such"):
        desk.send(agent="no such")
    named = desk.send()
    assert "the job waits" in desk.row(named)["selection_reason"]


def test_cancelling_ends_what_waits_and_asks_for_what_runs(desk: Desk) -> None:
    waiting, running = desk.send(), desk.send()
    desk.poll(free=1)
    first, second = (waiting, running) if desk.row(waiting)["fence"] else (running, waiting)
    with desk.records.write(SYSTEM, enforce=False) as transaction:
        desk.queue.cancel(transaction, first)
        desk.queue.cancel(transaction, second)
    assert desk.row(second)["state"] == "cancelled"
    request = protocol.PollRequest(5, [desk.topic], [protocol.HeldJob(first, 1)])
    assert desk.queue.claim(desk.mid, request).cancel == [first]


def test_a_row_inserted_by_others_is_addressed_and_wakes_a_poll(
    desk: Desk, instance: Instance
) -> None:
    hook = QueueHook(desk.queue)
    instance.records.hooks.append(hook)
    woken = threading.Event()
    values = {"topic": desk.topic, "queue": "output", "state": "ready"}
    try:
        with desk.queue.signal.listening(woken.set), desk.records.write(SYSTEM) as transaction:
            known = transaction.apply(
                insert("ecc_queue", {**values, "agent": f"mid.server.{desk.mid.name}"})
            )
            unknown = transaction.apply(
                insert("ecc_queue", {**values, "agent": "mid.server.nobody at all"})
            )
            assert not woken.is_set()
    finally:
        instance.records.hooks.remove(hook)
    assert woken.is_set()
    assert [job.id for job in desk.poll()] == [known.sys_id]
    assert desk.row(unknown.sys_id)["state"] == "error"
    assert "nobody at all" in desk.row(unknown.sys_id)["error_string"]


def test_a_job_that_cannot_be_told_ends_in_error(desk: Desk) -> None:
    job = desk.send(parameters={"credential": "no-such-alias"})
    assert desk.poll() == []
    row = desk.row(job)
    assert (row["state"], row["error_code"]) == ("error", "invalid_job")
    assert "no-such-alias" in row["error_string"]
