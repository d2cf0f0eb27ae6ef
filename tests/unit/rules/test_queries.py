"""Query rules: they narrow what everybody reads, whatever way it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from midspan.instance import Instance
from midspan.kernel.errors import RecordNotFound
from midspan.records import delete, insert, update
from midspan.sandbox import Script
from midspan.scripting import PerWrite
from midspan.security import SYSTEM

from .worlds import ANN, find, logged, rules, write

RULE = {
    "name": "Only mine",
    "action_insert": "false",
    "action_update": "false",
    "action_query": "true",
    "script": "if (!gs.hasRole('manager')) current.addQuery('short_description', '!=', 'hidden')"
    ".addCondition('close_notes', '!=', 'secret');",
}


@pytest.fixture
def records(instance: Instance) -> Iterator[dict[str, str]]:
    made = {
        name: write(instance, insert("incident", values)).sys_id
        for name, values in {
            "shown": {"short_description": "shown", "category": "network"},
            "hidden": {"short_description": "hidden", "category": "network"},
            "secret": {
                "short_description": "shown",
                "close_notes": "secret",
                "category": "network",
            },
        }.items()
    }
    yield made
    with instance.database.write() as transaction:
        transaction.execute("DELETE FROM task")


def asked(instance: Instance, text: str) -> Any:
    return instance.scripts.run(Script("test", text), unit=PerWrite(instance.records, ANN))


def test_glide_records_find_less(instance: Instance, records: dict[str, str]) -> None:
    text = (
        "var gr = new GlideRecord('{}'); gr.addQuery('category', 'network'); gr.query();"
        "var found = []; while (gr.next()) found.push(gr.getUniqueValue()); found.join();"
    )
    assert len(asked(instance, text.format("incident")).split(",")) == 3
    with rules(instance, RULE):
        assert asked(instance, text.format("incident")) == records["shown"]
        free = text.format("incident").replace("gr.query", "gr.setWorkflow(false); gr.query")
        assert len(asked(instance, free).split(",")) == 3
        secure = free.replace("GlideRecord", "GlideRecordSecure")
        assert asked(instance, secure) == records["shown"]
        got = f"var gr = new GlideRecord('incident'); gr.get('{records['hidden']}')"
        assert asked(instance, got) is False


def test_aggregates_count_less_unless_they_turn_rules_off(
    instance: Instance, records: dict[str, str]
) -> None:
    text = (
        "var ga = new GlideAggregate('incident'); ga.addAggregate('COUNT'); {} ga.query();"
        "ga.next(); ga.getAggregate('COUNT')"
    )
    with rules(instance, RULE):
        assert asked(instance, text.format("")) == "1"
        assert asked(instance, text.format("ga.setAggregateWindow(0, 2);")) == "1"
        assert asked(instance, text.format("ga.setAggregateWorkflow(true);")) == "1"
        free = "ga.setAggregateWorkflow(false);"
        assert asked(instance, text.format(free)) == "3"
        assert asked(instance, text.format(free + "ga.setAggregateWindow(0, 2);")) == "2"


def test_the_record_store_reads_and_writes_less(
    instance: Instance, records: dict[str, str]
) -> None:
    with rules(instance, RULE):
        with instance.records.read(ANN) as transaction:
            assert len(transaction.find("incident", "category=network")) == 1
            assert transaction.get("incident", records["hidden"]) is None
            assert transaction.get("incident", records["shown"]) is not None
        with instance.records.write(ANN) as transaction, pytest.raises(RecordNotFound):
            transaction.apply(update("incident", records["hidden"], {"state": "2"}))
        assert len(find(instance, "incident", "category=network")) == 3, "the instance sees all"
    with instance.records.read(ANN) as transaction:
        assert len(transaction.find("incident", "category=network")) == 3


def test_children_inherit_and_other_tables_do_not(
    instance: Instance, records: dict[str, str]
) -> None:
    with rules(instance, {**RULE, "collection": "task"}), instance.records.read(ANN) as transaction:
        assert len(transaction.find("incident", "category=network")) == 1
        assert transaction.find("cmdb_ci", "") == transaction.find("cmdb_ci", "")
    with rules(instance, RULE), instance.records.read(ANN) as transaction:
        assert len(transaction.find("task", "sys_class_name=incident")) == 3


def test_a_query_rule_that_fails_lets_nothing_pass(
    instance: Instance, records: dict[str, str]
) -> None:
    with rules(instance, {**RULE, "script": "nothing.here()"}):
        with instance.records.read(ANN) as transaction:
            assert transaction.find("incident", "category=network") == []
        assert ("2", "Business rule 'Only mine': ReferenceError: nothing is not defined") in logged(
            instance
        )


def test_a_query_rule_may_read_the_table_itself(
    instance: Instance, records: dict[str, str]
) -> None:
    script = (
        "var gr = new GlideRecord('incident'); gr.addQuery('short_description', 'hidden');"
        "gr.query(); gr.next(); current.addQuery('sys_id', gr.getUniqueValue());"
    )
    with rules(instance, {**RULE, "script": script}), instance.records.read(ANN) as transaction:
        (found,) = transaction.find("incident", "category=network")
        assert found.sys_id == records["hidden"]


def test_it_sees_the_query_and_its_condition_decides(
    instance: Instance, records: dict[str, str]
) -> None:
    script = "gs.info(current.getEncodedQuery()); current.addQuery('sys_id', '0');"
    text = "var gr = new GlideRecord('incident'); gr.addQuery('category', 'network'); gr.query();"
    with rules(instance, {**RULE, "script": script, "condition": "gs.getUserName() == 'ann'"}):
        assert asked(instance, f"{text} gr.getRowCount()") == 0
        assert logged(instance) == [("0", "category=network")]
        unit = PerWrite(instance.records, SYSTEM)
        assert instance.scripts.run(Script("t", f"{text} gr.getRowCount()"), unit=unit) == 3


BESIDE = "current.addJoinQuery('sys_properties', 'correlation_id', 'name')"
"""Of properties ann may read nothing."""


@pytest.fixture
def paired(instance: Instance, records: dict[str, str]) -> Iterator[dict[str, str]]:
    """Two of the incidents name a property, which is open or closed."""
    made = {}
    for name, state in (("shown", "open"), ("hidden", "closed")):
        values = {"name": f"test.{name}", "value": state}
        made[state] = write(instance, insert("sys_properties", values)).sys_id
        write(instance, update("incident", records[name], {"correlation_id": f"test.{name}"}))
    yield {**records, **made}
    for sys_id in made.values():
        write(instance, delete("sys_properties", sys_id))


def test_a_rule_joins_a_table_that_its_readers_may_not_read(
    instance: Instance, paired: dict[str, str]
) -> None:
    script = f"{BESIDE}.addCondition('value', 'open');"
    text = (
        "var gr = new {}('incident'); gr.addQuery('category', 'network'); gr.query();"
        "var found = []; while (gr.next()) found.push(gr.getUniqueValue()); found.join();"
    )
    with rules(instance, {**RULE, "script": script}):
        for kind in ("GlideRecord", "GlideRecordSecure"):
            assert asked(instance, text.format(kind)) == paired["shown"]
        with instance.records.read(ANN) as transaction:
            assert transaction.get("incident", paired["hidden"]) is None
            (found,) = transaction.find("incident", "category=network")
            assert found.sys_id == paired["shown"]
        write(instance, update("sys_properties", paired["closed"], {"value": "open"}))
        assert len(asked(instance, text.format("GlideRecordSecure")).split(",")) == 2
    own = f"{text.format('GlideRecordSecure')[:-1]}".replace(
        "gr.addQuery('category', 'network')", BESIDE.replace("current", "gr")
    )
    assert asked(instance, own) == "", "the reader's own joins count what he may read"


def test_a_join_is_a_condition_and_no_list_of_values(
    instance: Instance, paired: dict[str, str]
) -> None:
    """The next rule sees it, and however many rows the other table has, the query is as long."""
    rule = {**RULE, "order": "1", "script": f"{BESIDE}.addCondition('value', 'open');"}
    after = {**RULE, "name": "Then", "order": "2", "script": "gs.info(current.getEncodedQuery());"}
    with rules(instance, rule, after), instance.records.read(ANN) as transaction:
        assert len(transaction.find("incident", "category=network")) == 1
        lines = [text for level, text in logged(instance) if level == "0"]
    assert lines == [
        "SUBQUERYcorrelation_id,name,sys_properties^value=open^ENDSUBQUERY",
    ]


@pytest.mark.parametrize(
    "script",
    [
        f"{BESIDE}.addCondition('no_such_field', 'open');",
        "current.addJoinQuery('no_such_table', 'correlation_id', 'name');",
        "current.addJoinQuery('sys_properties', 'no_such_field', 'name');",
    ],
)
def test_a_join_that_cannot_be_used_lets_nothing_pass(
    instance: Instance, paired: dict[str, str], script: str
) -> None:
    text = "var gr = new {}('incident'); gr.addQuery('category', 'network'); gr.query();"
    with rules(instance, {**RULE, "script": script}):
        for kind in ("GlideRecord", "GlideRecordSecure"):
            assert asked(instance, f"{text.format(kind)} gr.getRowCount()") == 0
        with instance.records.read(ANN) as transaction:
            assert transaction.find("incident", "category=network") == []
