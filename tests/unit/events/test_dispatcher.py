"""Events reach their consumers once, whatever fails on the way, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from tests.guard import GUARD

from midspan.dictionary import Table
from midspan.events import Dispatcher, Event, EventRegistry
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import Operation, RecordTransaction, insert, update
from midspan.security.actor import SYSTEM
from midspan.testing import open_instance


class Recorder:
    """Writes a log row for each incident event; fails when told to."""

    name = "recorder"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.failures = 0
        self.came = threading.Event()

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        return table.name == "incident" and operation is not Operation.DELETE

    def consume(self, event: Event, transaction: RecordTransaction) -> None:
        row = {"message": event.record_id, "source": "recorder"}
        transaction.engine_insert("syslog", [{**row, "sys_id": event.derived("recorder")}])
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not now")
        self.events.append(event)
        self.came.set()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        yield opened


class World:
    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        assert isinstance(instance.clock, ManualClock)
        self.clock = instance.clock
        self.consumer = Recorder()
        registry = EventRegistry()
        registry.add(self.consumer)
        instance.records.feeds[:] = [registry]
        self.registry = registry
        self.dispatcher = Dispatcher(instance.records, registry, "node-1")

    def create(self, **values: str) -> str:
        with self.instance.records.write(SYSTEM) as transaction:
            return transaction.apply(insert("incident", values)).sys_id

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with self.instance.database.read() as transaction:
            return transaction.rows(sql)

    def logged(self) -> list[object]:
        return [row[0] for row in self.rows("SELECT message FROM syslog ORDER BY sys_created_on")]


@pytest.fixture
def world(instance: Instance) -> World:
    with instance.database.write() as transaction:
        transaction.execute("DELETE FROM sys_outbox")
        transaction.execute("DELETE FROM syslog")
    return World(instance)


def test_an_event_tells_who_changed_what(world: World) -> None:
    sys_id = world.create(short_description="mail is down")
    with world.instance.records.write(SYSTEM) as transaction:
        transaction.apply(update("incident", sys_id, {"short_description": "mail is up"}))
    assert world.dispatcher.drain() == 2
    created, changed = world.consumer.events
    assert (created.operation, created.record_id) == (Operation.INSERT, sys_id)
    assert changed.changes["short_description"] == ("mail is down", "mail is up")
    assert world.rows("SELECT DISTINCT state FROM sys_outbox") == [("processed",)]


def test_other_tables_write_no_events(world: World) -> None:
    with world.instance.records.write(SYSTEM) as transaction:
        transaction.apply(insert("problem", {"short_description": "x"}))
    assert world.rows("SELECT sys_id FROM sys_outbox") == []


def test_a_failed_consumer_is_undone_and_tried_again(world: World) -> None:
    first = world.create(short_description="a")
    second = world.create(short_description="b")
    world.consumer.failures = 1
    world.dispatcher.drain()
    assert [event.record_id for event in world.consumer.events] == [second]
    assert world.logged() == [second]
    assert world.dispatcher.drain() == 0
    world.clock.advance(timedelta(seconds=2))
    assert world.dispatcher.drain() == 1
    assert world.consumer.events[-1].record_id == first
    assert sorted(map(str, world.logged())) == sorted([first, second])


def test_an_event_that_never_works_ends_as_error(world: World) -> None:
    world.consumer.failures = 100
    world.create(short_description="a")
    for _ in range(10):
        world.dispatcher.drain()
        world.clock.advance(timedelta(minutes=2))
    assert world.consumer.failures == 92
    ((state, error),) = world.rows("SELECT state, error FROM sys_outbox")
    assert state == "error"
    assert "not now" in str(error)
    assert world.logged() == []


def test_what_a_dead_node_claimed_is_handled_once(world: World) -> None:
    world.create(short_description="a")
    other = Dispatcher(world.instance.records, world.registry, "node-2")
    ((sys_id,),) = world.rows("SELECT sys_id FROM sys_outbox")
    (late,) = other._claim([str(sys_id)])
    assert world.dispatcher.drain() == 0
    world.clock.advance(timedelta(seconds=31))
    assert world.dispatcher.drain() == 1
    with world.instance.records.write(SYSTEM) as transaction:
        other._handle(transaction, late)
    assert len(world.consumer.events) == 1
    assert len(world.logged()) == 1


def test_a_commit_wakes_the_dispatcher(world: World) -> None:
    world.dispatcher.start()
    try:
        world.create(short_description="a")
        assert world.consumer.came.wait(GUARD)
    finally:
        assert world.dispatcher.stop(timedelta(seconds=10))


def test_a_rolled_back_change_is_no_event(world: World) -> None:
    def abandon() -> None:
        with world.instance.records.write(SYSTEM) as transaction:
            transaction.apply(insert("incident", {"short_description": "a"}))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        abandon()
    assert world.dispatcher.drain() == 0
