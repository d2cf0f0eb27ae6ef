"""Rules and sets: built-in behaviour leaves sets whole and has the same result row by row."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midspan.dictionary import Table
from midspan.instance import Instance
from midspan.query import Query
from midspan.records import (
    Applied,
    Change,
    Draft,
    Operation,
    RecordTransaction,
    Refused,
    delete,
    insert,
    update,
)
from midspan.security import SYSTEM

from .worlds import rules, write

ROUNDS = itertools.count(1)
STATES = st.sampled_from(["", "1", "2", "6", "7", "8"])
STEP = st.tuples(
    st.sampled_from(["insert", "update", "update", "update"]),
    st.integers(0, 3),
    st.fixed_dictionaries(
        {},
        optional={
            "state": STATES,
            "incident_state": STATES,
            "impact": st.sampled_from(["", "1", "2"]),
            "urgency": st.sampled_from(["1", "3"]),
            "priority": st.sampled_from(["1", "4"]),
            "short_description": st.sampled_from(["fine", "refused"]),
        },
    ),
)


class RowWise:
    """A hook that does nothing but want every row."""

    def __init__(self) -> None:
        self.drafts = 0

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        return True

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Leave the draft as it is."""

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        self.drafts += 1

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        return query


class Watching(RowWise):
    """A hook that sees each row and declares that it does not mind sets."""

    def set_based(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        return True


def outcome(
    instance: Instance, steps: list[tuple[str, int, dict[str, str]]]
) -> tuple[list[str], list[dict[str, str]]]:
    """Carry out steps on fresh records; return what came of each, and the records."""
    group = next(ROUNDS)
    ids = [f"{group:024x}{number:08x}" for number in range(4)]
    changes: list[Change] = [
        insert("incident", values, sys_id=ids[number])
        if kind == "insert"
        else update("incident", ids[number], values)
        for kind, number, values in steps
    ]
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        results = transaction.apply_all(changes, collect=True)
        kinds = [
            type(result.error).__name__ if isinstance(result, Refused) else str(result.written)
            for result in results
        ]
        records = transaction.load("incident", ids)
    own = ("sys_id", "number", "task_effective_number")
    rows = [
        {name: text for name, text in records[sys_id].values.items() if name not in own}
        for sys_id in ids
        if sys_id in records
    ]
    return kinds, rows


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEP, min_size=1, max_size=12))
def test_built_in_behaviour_is_the_same_row_by_row(
    instance: Instance, steps: list[tuple[str, int, dict[str, str]]]
) -> None:
    guard = {
        "name": "Refuse",
        "collection": "incident",
        "action_insert": "true",
        "action_update": "true",
        "filter_condition": "short_description=refused",
        "abort_action": "true",
    }
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        rule = transaction.apply(insert("sys_script", guard)).sys_id
    hook = RowWise()
    try:
        as_set = outcome(instance, steps)
        instance.records.hooks.append(hook)
        assert outcome(instance, steps) == as_set
        for row in as_set[1]:
            assert row["state"] == row["incident_state"]
            assert row["short_description"] != "refused"
    finally:
        if hook in instance.records.hooks:
            instance.records.hooks.remove(hook)
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(delete("sys_script", rule))


def row_wise(instance: Instance, table: str, operation: Operation) -> bool:
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        return instance.records.writer._row_wise(transaction, table, operation)


def test_only_rules_that_look_elsewhere_cut_sets_into_rows(instance: Instance) -> None:
    for table in ("sys_user", "incident", "task", "cmdb_ci"):
        assert not row_wise(instance, table, Operation.INSERT)
    rule = {
        "name": "Walk",
        "collection": "incident",
        "action_insert": "true",
        "filter_condition": "caller_id.vip=true",
        "abort_action": "true",
    }
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        made = transaction.apply(insert("sys_script", rule)).sys_id
    assert row_wise(instance, "incident", Operation.INSERT)
    assert row_wise(instance, "task", Operation.INSERT)
    assert not row_wise(instance, "incident", Operation.UPDATE)
    assert not row_wise(instance, "sys_user", Operation.INSERT)
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        transaction.apply(delete("sys_script", made))
    assert not row_wise(instance, "incident", Operation.INSERT)


def test_users_are_imported_as_a_set_and_named(instance: Instance) -> None:
    hook = Watching()
    instance.records.hooks.append(hook)
    changes = [
        insert("sys_user", {"user_name": f"set{n}", "first_name": "Set", "last_name": f"No{n}"})
        for n in range(1200)
    ]
    try:
        assert not row_wise(instance, "sys_user", Operation.INSERT)
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            results = transaction.apply_all(changes)
            assert len(transaction.find("sys_user", "nameSTARTSWITHSet No")) == len(results)
    finally:
        instance.records.hooks.remove(hook)
    assert hook.drafts == 1200


def test_records_of_a_set_are_told_apart_by_what_they_were(instance: Instance) -> None:
    """Those that are alike now are asked about once only if they were alike before, too."""
    rule = {
        "name": "From two",
        "advanced": "false",
        "action_insert": "false",
        "filter_condition": "stateCHANGESFROM2^category=network",
        "template": "close_notes=from two^EQ",
    }
    given = (("2", "network"), ("1", "network"), ("2", "network"), ("2", "software"))
    ids = [
        write(instance, insert("incident", {"state": state, "category": category})).sys_id
        for state, category in given
    ]
    with rules(instance, rule), instance.records.write(SYSTEM, enforce=False) as transaction:
        changed = transaction.apply_all([update("incident", one, {"state": "3"}) for one in ids])
        assert all(isinstance(one, Applied) and one.written for one in changed)
        found = transaction.load("incident", ids)
    notes = [found[one].get("close_notes") for one in ids]
    assert notes == ["from two", "", "from two", ""]
