"""Saved states: everything is as it was, and what began before can neither see nor change it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from midspan.apps.seed import Values, read_seed
from midspan.attachments import NewFile
from midspan.importsets.schedule import TABLE as SCHEDULES
from midspan.instance import RECORDS_FILE, Instance
from midspan.jobs import Done, Job, JobContext, ManualJobs, Outcome
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, Unavailable
from midspan.kernel.settings import Settings
from midspan.records import PROPERTIES, RIGHTS, Record, insert, update
from midspan.security import SYSTEM
from midspan.storage import StaleWork
from midspan.testing import open_instance

SEED = """\
users:
  abel: {roles: [itil], password: the first one}
records:
  incident:
    - {key: seeded, short_description: From the seed}
  sys_data_source:
    - {key: rows, name: rows, type: File, format: CSV, import_set_table_name: u_rows}
  scheduled_import_set:
    - {key: nightly, name: nightly, data_source: ref:sys_data_source/rows, run_type: daily}
"""
LONG = 60
"""Seconds; a guard against hanging only."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    seed = tmp_path / "seed.yaml"
    seed.write_text(SEED)
    with open_instance(clock=ManualClock()) as opened:
        opened.seed([read_seed(seed)], Values({}, plain=True))
        opened.keep_start()
        yield opened


def contents(instance: Instance) -> list[str]:
    """Return the whole database as SQL, schema included."""
    with closing(sqlite3.connect(instance.settings.data / RECORDS_FILE)) as connection:
        return list(connection.iterdump())


def incidents(instance: Instance) -> list[Record]:
    with instance.records.read(SYSTEM) as transaction:
        return transaction.find("incident", "ORDERBYnumber")


def add_incident(instance: Instance, text: str = "later") -> Record:
    with instance.records.write(SYSTEM) as transaction:
        sys_id = transaction.apply(insert("incident", {"short_description": text})).sys_id
        return transaction.require("incident", sys_id)


def sign_in(instance: Instance, password: str) -> None:
    rights = instance.holder.current().part(RIGHTS)
    instance.identities.sign_in("abel", password, rights)


def disturb(instance: Instance) -> None:
    """Change something of every kind."""
    new = insert("sys_db_object", {"name": "u_new", "label": "New"})
    column = {"name": "incident", "element": "u_more", "internal_type": "string"}
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(new)
        transaction.apply(insert("sys_dictionary", column))
        transaction.apply(insert("sys_properties", {"name": "x.y.z", "value": "1"}))
        (abel,) = transaction.find("sys_user", "user_name=abel")
        transaction.apply(update("sys_user", abel.sys_id, {"user_password": "another one"}))
        (nightly,) = transaction.find(SCHEDULES, "name=nightly")
        transaction.apply(update(SCHEDULES, nightly.sys_id, {"active": "false"}))
        job = Job(kind="nobody's", payload={})
        instance.jobs.enqueue(transaction.database, job)
    record = add_incident(instance)
    file = NewFile(table="incident", record=record.sys_id, name="n.txt", content_type="text/plain")
    instance.attachments.write(SYSTEM, file, [b"x" * 3_000_000])
    with pytest.raises(NotAuthenticated):
        sign_in(instance, "wrong")
    sign_in(instance, "another one")
    instance.dispatcher.drain()
    instance.jobs.scheduler.tick()


def test_everything_is_as_after_the_start(instance: Instance) -> None:
    before, snapshot = contents(instance), instance.holder.current()
    for _ in range(2):
        disturb(instance)
        assert contents(instance) != before
        assert "u_new" in instance.holder.current().dictionary
        instance.reset()
        assert contents(instance) == before
    assert instance.holder.current() is snapshot, "with all that was prepared from it"
    assert "x.y.z" not in instance.holder.current().part(PROPERTIES)
    sign_in(instance, "the first one")
    with pytest.raises(NotAuthenticated):
        sign_in(instance, "another one")


def test_numbers_go_on_as_after_the_start(instance: Instance) -> None:
    first = add_incident(instance).get("number")
    assert first == "INC0010002", "the seed has the one before"
    add_incident(instance)
    instance.reset()
    assert add_incident(instance).get("number") == first


def test_configuration_made_after_a_reset_is_not_taken_for_that_of_before(
    instance: Instance,
) -> None:
    """Both changes raise the same version to the same number."""
    for name in ("u_one", "u_two"):
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(insert("sys_db_object", {"name": name, "label": name}))
        tables = instance.holder.current().dictionary.tables
        assert [found for found in ("u_one", "u_two") if found in tables] == [name]
        instance.reset()


def test_schedules_fire_as_after_the_start(instance: Instance) -> None:
    instance.schedules.load()
    instance.jobs.scheduler.tick()
    slot = instance.jobs.scheduler.next_slot()
    assert slot is not None
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        (nightly,) = transaction.find(SCHEDULES, "name=nightly")
        transaction.apply(update(SCHEDULES, nightly.sys_id, {"active": "false"}))
    assert instance.jobs.scheduler.next_slot() is None
    instance.reset()
    instance.jobs.scheduler.tick()
    assert instance.jobs.scheduler.next_slot() == slot


def test_work_that_began_before_reads_and_writes_nothing_after(instance: Instance) -> None:
    with instance.database.lives.work():
        known = add_incident(instance, "in time")
        instance.reset()
        with pytest.raises(StaleWork):
            add_incident(instance, "too late")
        with pytest.raises(StaleWork):
            incidents(instance)
        with pytest.raises(StaleWork):
            instance.database.rows_at_once("SELECT 1")
    assert known.sys_id not in {record.sys_id for record in incidents(instance)}
    assert len(incidents(instance)) == 1
    with instance.database.lives.work():
        add_incident(instance, "new work")
    assert len(incidents(instance)) == 2


def test_a_job_under_way_cannot_end_in_another_state(instance: Instance) -> None:
    """It is offered again, as after the start, because its row is that of the start."""
    runs: list[int] = []

    def handle(context: JobContext) -> Outcome:
        runs.append(context.attempt)
        if len(runs) == 1:
            instance.reset()
        add_incident(instance, f"run {len(runs)}")
        return Done({"run": len(runs)})

    jobs = instance.jobs
    assert isinstance(jobs, ManualJobs)
    jobs.register("test", handle)
    with instance.database.write() as database:
        sys_id = jobs.enqueue(database, Job(kind="test", payload={}))
    instance.keep_start()
    jobs.advance(timedelta(seconds=1))
    assert runs == [1, 1], "the attempt that was cut off does not count"
    with instance.database.read() as database:
        row = jobs.read(database, sys_id)
    assert (row.state, row.result) == ("complete", {"run": 2})
    assert [each.get("short_description") for each in incidents(instance)][1:] == ["run 2"]


def test_a_reader_sees_one_state_to_its_end(instance: Instance) -> None:
    add_incident(instance)
    done = threading.Event()

    def reset() -> None:
        instance.reset()
        done.set()

    with instance.records.read(SYSTEM) as transaction:
        assert len(transaction.find("incident", "")) == 2
        thread = threading.Thread(target=reset)
        thread.start()
        while not instance.database.lives.is_awaited():
            assert thread.is_alive()
        assert instance.database.rows_at_once("SELECT 1") is not None, "it is inside already"
        assert len(transaction.find("incident", "")) == 2
        assert not done.is_set()
    thread.join(LONG)
    assert done.is_set()
    assert len(incidents(instance)) == 1


def test_whoever_comes_meanwhile_waits_and_sees_the_new_state(instance: Instance) -> None:
    add_incident(instance)
    found: list[int] = []
    asked: list[object] = []
    with instance.records.read(SYSTEM):
        resetting = threading.Thread(target=instance.reset)
        resetting.start()
        while not instance.database.lives.is_awaited():
            assert resetting.is_alive()
        prompt = threading.Thread(
            target=lambda: asked.append(instance.database.rows_at_once("SELECT 1"))
        )
        prompt.start()
        prompt.join(LONG)
        assert asked == [None], "the event loop does not wait"
        reading = threading.Thread(target=lambda: found.append(len(incidents(instance))))
        reading.start()
    reading.join(LONG)
    resetting.join(LONG)
    assert found == [1]


def test_a_reset_that_cannot_be_alone_changes_nothing(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midspan.storage.sqlite.ALONE_WITHIN", timedelta(0))
    add_incident(instance)
    inside, go = threading.Event(), threading.Event()

    def read() -> None:
        with instance.records.read(SYSTEM):
            inside.set()
            go.wait(LONG)

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait(LONG)
    with pytest.raises(Unavailable):
        instance.reset()
    go.set()
    thread.join(LONG)
    assert len(incidents(instance)) == 2
    instance.reset()
    assert len(incidents(instance)) == 1


def test_snapshots_by_name(instance: Instance) -> None:
    states = instance.states
    assert states is not None
    add_incident(instance)
    states.save("one")
    add_incident(instance)
    states.save("two")
    numbers = [record.get("number") for record in incidents(instance)]
    instance.reset()
    assert len(incidents(instance)) == 1
    states.restore("two")
    assert [record.get("number") for record in incidents(instance)] == numbers
    assert add_incident(instance).get("number") == "INC0010004"
    states.restore("one")
    assert len(incidents(instance)) == 2
    assert [state.name for state in states.states()] == ["start", "one", "two"]
    states.delete("one")
    assert [state.name for state in states.states()] == ["start", "two"]
    with pytest.raises(NotFound, match="There is no snapshot one"):
        states.restore("one")
    with pytest.raises(NotFound) as refused:
        states.restore("tow")
    assert refused.value.hint == "Did you mean 'two'?"
    with pytest.raises(Conflict, match="two already"):
        states.save("two")
    with pytest.raises(Conflict):
        states.delete("start")
    for name in ("start", "../two", "", "a" * 81, ".two"):
        with pytest.raises(InvalidRequest):
            states.save(name)


def test_snapshots_outlive_the_process_and_lives_are_never_counted_twice(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", allow_reset=True)

    def opened() -> Instance:
        return Instance(settings, clock=ManualClock())

    instance = opened()
    add_incident(instance)
    assert instance.states is not None
    instance.states.save("kept")
    add_incident(instance)
    instance.keep_start()
    instance.reset()
    life = instance.database.lives.now
    instance.close()
    instance = opened()
    assert instance.database.lives.now == life > 0
    assert instance.states is not None
    instance.states.restore("kept")
    assert len(incidents(instance)) == 1
    assert add_incident(instance).get("number") == "INC0010002"
    instance.close()


def test_a_snapshot_of_another_release_is_refused(instance: Instance) -> None:
    states = instance.states
    assert states is not None
    states.save("old")
    about = instance.settings.data / "states" / "old.json"
    about.write_bytes(about.read_bytes().replace(b'"release":"', b'"release":"0'))
    add_incident(instance)
    with pytest.raises(Conflict, match="Another release"):
        states.restore("old")
    assert len(incidents(instance)) == 2


def test_an_instance_that_was_not_started_for_it_refuses(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    kept = Instance(Settings(data=tmp_path / "data"))
    with pytest.raises(Conflict) as refused:
        kept.reset()
    assert "--allow-reset" in (refused.value.hint or "")
    kept.close()
    with open_instance(new_database()) as instance:
        instance.keep_start()
        with pytest.raises(Conflict) as refused:
            instance.reset()
        assert "PostgreSQL" in (refused.value.hint or "")


def test_many_resets_take_no_more_room_than_one(instance: Instance) -> None:
    """The database is copied through the write-ahead log, which has to be taken up each time."""

    def size(ending: str = "") -> int:
        return (instance.settings.data / f"{RECORDS_FILE}{ending}").stat().st_size

    for _ in range(4):
        instance.reset()
    assert size("-wal") < 1.5 * size()
