"""Many rows pushed at once: a set of their own, transformed now or by a job."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from midspan.importsets.pushed import Pushed
from midspan.importsets.pushedsets import Configuration, Grouping, PushedSet, Rows
from midspan.instance import Instance
from midspan.jobs import ManualJobs
from midspan.kernel.errors import InvalidRequest, InvalidTable, NotAuthorized
from midspan.records import RIGHTS, Record, insert, update
from midspan.security import SYSTEM, Actor

GONE = "f" * 32


def people(*names: str) -> Rows:
    return Rows(columns=["user_id", "first_name"], rows=[[name, name.title()] for name in names])


def push(instance: Instance, rows: Rows, actor: Actor = SYSTEM, **more: Any) -> PushedSet:
    grouping = more.pop("grouping", Grouping())
    return instance.pushed_sets.push(
        more.pop("table", "imp_user"), rows, grouping, actor=actor, **more
    )


def found(instance: Instance, table: str, query: str) -> list[Record]:
    with instance.records.read(SYSTEM) as transaction:
        return transaction.find(table, query)


def states(instance: Instance, pushed: PushedSet) -> list[str]:
    rows = found(instance, "imp_user", f"sys_import_set={pushed.import_set}^ORDERBYsys_import_row")
    return [row.get("sys_import_state") for row in rows]


def state(instance: Instance, pushed: PushedSet) -> str:
    (record,) = found(instance, "sys_import_set", f"sys_id={pushed.import_set}")
    return record.get("state")


def work(instance: Instance) -> None:
    assert isinstance(instance.jobs, ManualJobs)
    instance.jobs.run_due()


def person(instance: Instance, name: str, role: str = "") -> Actor:
    with instance.records.write(SYSTEM, enforce=False) as records:
        known = records.first("sys_user", f"user_name={name}")
        values = {"user_name": name, "name": name}
        user = known.sys_id if known else records.apply(insert("sys_user", values)).sys_id
        if role:
            wanted = records.first("sys_user_role", f"name={role}")
            assert wanted
            records.apply(insert("sys_user_has_role", {"user": user, "role": wanted.sys_id}))
    return instance.identities.actor(user, instance.holder.current().part(RIGHTS))


def test_a_job_transforms_what_was_staged(instance: Instance) -> None:
    pushed = push(instance, people("kim", "lou"))
    assert (states(instance, pushed), state(instance, pushed)) == (["pending"] * 2, "loaded")
    work(instance)
    assert states(instance, pushed) == ["inserted", "inserted"]
    assert state(instance, pushed) == "processed"
    (run,) = found(instance, "sys_import_set_run", f"set={pushed.import_set}")
    assert (run.get("state"), run.get("inserts"), run.get("total")) == ("complete", "2", "2")
    assert [one.get("first_name") for one in found(instance, "sys_user", "user_name=kim")] == [
        "Kim"
    ]


def test_at_once_where_that_is_asked_for(instance: Instance) -> None:
    pushed = push(instance, people("mia"), synchronous=True)
    assert (states(instance, pushed), state(instance, pushed)) == (["inserted"], "processed")


def test_each_set_is_its_own_and_a_group_takes_several(instance: Instance) -> None:
    first = push(instance, people("ned"))
    second = push(
        instance, people("ona"), grouping=Grouping(multi_import_set=first.multi_import_set)
    )
    assert first.import_set != second.import_set
    assert first.multi_import_set == second.multi_import_set
    query = f"multi_import_set={first.multi_import_set}"
    assert len(found(instance, "sys_import_set", query)) == 2


def test_a_set_waits_for_the_one_it_names(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as records:
        before = records.apply(insert("sys_import_set", {"table_name": "u_x", "state": "loaded"}))
    first = push(instance, people("pat"), grouping=Grouping(run_after=before.sys_id))
    second = push(instance, people("pat"), grouping=Grouping(run_after=first.import_set))
    work(instance)
    assert (state(instance, first), state(instance, second)) == ("loaded", "loaded")
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_import_set", before.sys_id, {"state": "processed"}))
    assert isinstance(instance.jobs, ManualJobs)
    instance.jobs.advance(timedelta(seconds=5))
    assert (states(instance, first), states(instance, second)) == (["inserted"], ["ignored"])


def test_nobody_waits_for_a_days_single_rows(instance: Instance) -> None:
    single = instance.pushed.push("imp_user", [{"user_id": "quin"}], actor=SYSTEM)
    pushed = push(instance, people("rae"), grouping=Grouping(run_after=single.import_set))
    work(instance)
    assert state(instance, pushed) == "processed"


def test_what_the_maps_do_is_done_in_the_senders_name(instance: Instance) -> None:
    loader = person(instance, "loader", "import_set_loader")
    pushed = push(instance, people("sid"), actor=loader)
    work(instance)
    assert states(instance, pushed) == ["inserted"]
    (user,) = found(instance, "sys_user", "user_name=sid")
    assert user.get("sys_created_by") == "loader"


def test_a_sender_who_is_gone_gets_nothing_done(instance: Instance) -> None:
    leaver = person(instance, "leaver", "import_set_loader")
    pushed = push(instance, people("tom"), actor=leaver)
    follower = push(instance, people("uma"), grouping=Grouping(run_after=pushed.import_set))
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_user", leaver.sys_id, {"active": "false"}))
    assert isinstance(instance.jobs, ManualJobs)
    instance.jobs.advance(timedelta(seconds=5))
    assert (state(instance, pushed), states(instance, pushed)) == ("error", ["pending"])
    assert state(instance, follower) == "processed"


def test_a_job_that_kills_its_processes_leaves_its_set_in_error(instance: Instance) -> None:
    pushed = push(instance, people("zoe"))
    assert isinstance(instance.jobs, ManualJobs)
    table = instance.jobs.table
    with instance.database.read() as transaction:
        ((job, _),) = table.due(transaction, 2)
    for _ in range(100):
        assert table.claim(job) is not None
        table.release()
    work(instance)
    (record,) = found(instance, "sys_import_set", f"sys_id={pushed.import_set}")
    assert (record.get("state"), record.get("message")) == ("error", "The job ended 100 processes")
    assert states(instance, pushed) == ["pending"]


def test_no_map_and_no_rows_leave_nothing_to_do(instance: Instance) -> None:
    note = Rows(columns=["message"], rows=[["hello"]])
    kept = push(instance, note, table="imp_notification")
    empty = push(instance, people())
    assert (state(instance, kept), state(instance, empty)) == ("processed", "processed")
    query = f"sys_import_set={kept.import_set}"
    assert [row.get("message") for row in found(instance, "imp_notification", query)] == ["hello"]


def test_what_is_refused_leaves_nothing(instance: Instance) -> None:
    before = len(found(instance, "sys_import_set", ""))
    with pytest.raises(NotAuthorized):
        push(instance, people("vic"), actor=person(instance, "plain"))
    with pytest.raises(InvalidRequest, match="no staging table"):
        push(instance, people("vic"), table="incident")
    with pytest.raises(InvalidTable):
        push(instance, people("vic"), table="no_such")
    for grouping in (Grouping(run_after=GONE), Grouping(multi_import_set=GONE)):
        with pytest.raises(InvalidRequest, match="there is no"):
            push(instance, people("vic"), grouping=grouping)
    assert len(found(instance, "sys_import_set", "")) == before


def test_the_configuration_is_a_record(instance: Instance) -> None:
    assert not instance.pushed_sets.configuration("imp_computer").synchronous
    with instance.records.write(SYSTEM, enforce=False) as records:
        source = records.apply(insert("sys_data_source", {"name": "x", "jpath_root_node": "//a"}))
        values = {
            "source_table": "imp_computer",
            "transformation": "synchronous",
            "column_mapping": "column_name",
            "use_data_source_format": "true",
            "data_source": source.sys_id,
        }
        records.apply(insert("sys_rest_insert_multiple", values))
    found = instance.pushed_sets.configuration("imp_computer")
    assert found == Configuration(
        synchronous=True, by_column_name=True, source_format=True, row_path="//a"
    )


RULE = "name=Insert multiple asynchronous mode"


def send(instance: Instance, *names: str, many: bool = True) -> Pushed:
    """Push rows as SOAP does."""
    later = partial(instance.pushed_sets.leave, actor=SYSTEM) if many else None
    rows = [{"user_id": name, "first_name": name.title()} for name in names]
    return instance.pushed.push("imp_user", rows, actor=SYSTEM, later=later)


def change(instance: Instance, table: str, query: str, **values: str) -> None:
    with instance.records.write(SYSTEM, enforce=False) as records:
        known = records.first(table, query)
        assert known
        records.apply(update(table, known.sys_id, values))


def row_states(instance: Instance, pushed: Pushed) -> list[str]:
    rows = found(instance, "imp_user", f"sys_import_set={pushed.import_set}^ORDERBYsys_import_row")
    return [row.get("sys_import_state") for row in rows]


def test_the_rows_of_one_message_have_a_set_of_their_own(instance: Instance) -> None:
    first, second = send(instance, "own1", "own2"), send(instance, "own3")
    assert first.import_set != second.import_set
    assert [one.status for row in first.rows for one in row] == ["inserted", "inserted"]
    (opened,) = found(instance, "sys_import_set", f"sys_id={first.import_set}")
    assert (opened.get("mode"), opened.get("state")) == ("synchronous", "processed")


def test_a_rule_leaves_the_rows_of_a_message_to_a_job(instance: Instance) -> None:
    change(instance, "sys_script", RULE, active="true")
    try:
        pushed = send(instance, "left1", "left2")
        single = send(instance, "now1", many=False)
    finally:
        change(instance, "sys_script", RULE, active="false")
    assert [(one.status, one.table, one.sys_id) for (one,) in pushed.rows] == [
        ("inserted", "imp_user", "")
    ] * 2
    assert row_states(instance, pushed) == ["pending", "pending"]
    assert [one.table for (one,) in single.rows] == ["sys_user"]
    assert not found(instance, "sys_user", "user_name=left1")
    work(instance)
    assert row_states(instance, pushed) == ["inserted", "inserted"]
    assert found(instance, "sys_user", "user_name=left1")
    (opened,) = found(instance, "sys_import_set", f"sys_id={pushed.import_set}")
    assert (opened.get("mode"), opened.get("state")) == ("asynchronous", "processed")


def test_a_set_that_was_made_asynchronous_collects_rows_until_it_is_loaded(
    instance: Instance,
) -> None:
    opened = send(instance, "day1", many=False).import_set
    change(instance, "sys_import_set", f"sys_id={opened}", mode="asynchronous")
    pushed = send(instance, "day2", many=False)
    assert pushed.import_set == opened
    assert [(one.status, one.table) for (one,) in pushed.rows] == [("inserted", "imp_user")]
    work(instance)
    assert "pending" in row_states(instance, pushed)
    change(instance, "sys_import_set", f"sys_id={opened}", state="loaded")
    after = send(instance, "day3", many=False)
    assert after.import_set != opened
    assert [one.table for (one,) in after.rows] == ["sys_user"]
