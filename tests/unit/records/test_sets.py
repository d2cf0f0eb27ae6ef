"""Set-based and row by row: the same changes must leave the same database."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midspan.instance import Instance
from midspan.records import Change, Operation, RecordTransaction, Refused, delete, insert, update
from midspan.security import SYSTEM

GROUPS = itertools.count(1)
STEP = st.tuples(
    st.sampled_from(["insert", "update", "update", "delete"]),
    st.integers(0, 5),
    st.dictionaries(
        st.sampled_from(["short_description", "state", "comments", "nonsense", "due_date"]),
        st.sampled_from(["", "1", "2", "text", "2026-02-03 04:05:06"]),
        max_size=3,
    ),
)


class RowWise:
    """A hook that does nothing but want every row."""

    def wants(self, table: object, operation: Operation, transaction: RecordTransaction) -> bool:
        return True

    def before(self, draft: object, transaction: object, *, late: bool) -> None:
        """Leave the draft as it is."""

    def after(self, draft: object, transaction: object) -> None:
        """Leave the record as it is."""

    def before_query(self, table: object, query: object, transaction: object) -> object:
        return query


def outcome(
    instance: Instance, steps: list[tuple[str, int, dict[str, str]]]
) -> tuple[list[str], list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Carry out steps on records of a fresh group and return everything that can be observed."""
    group = next(GROUPS)
    ids = [f"{group:024x}{number:08x}" for number in range(6)]
    changes: list[Change] = []
    for kind, number, values in steps:
        values = {name: text for name, text in values.items() if name != "nonsense" or text == "1"}
        if kind == "insert":
            changes.append(insert("incident", {**values, "order": "1"}, sys_id=ids[number]))
        elif kind == "update":
            changes.append(update("incident", ids[number], values))
        else:
            changes.append(delete("incident", ids[number]))
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        results = transaction.apply_all(changes, collect=True)
        kinds = [
            type(result.error).__name__ if isinstance(result, Refused) else str(result.written)
            for result in results
        ]
        records = transaction.load("incident", ids)
        ignored = {"number", "sys_id", "task_effective_number"}
        rows = [
            tuple(
                f"{name}={text}"
                for name, text in sorted(record.values.items())
                if name not in ignored
            )
            for sys_id in ids
            if (record := records.get(sys_id))
        ]
        trace = []
        for sys_id in ids:
            found = transaction.find("sys_audit", f"documentkey={sys_id}")
            journal = transaction.find("sys_journal_field", f"element_id={sys_id}")
            trace.append(
                tuple(
                    sorted(
                        [
                            f"{r.get('fieldname')}:{r.get('oldvalue')}>{r.get('newvalue')}"
                            for r in found
                        ]
                        + [r.get("value") for r in journal]
                    )
                )
            )
    return kinds, rows, trace


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEP, min_size=1, max_size=14))
def test_a_set_has_the_same_result_as_its_rows(
    instance: Instance, steps: list[tuple[str, int, dict[str, str]]]
) -> None:
    as_set = outcome(instance, steps)
    hook = RowWise()
    hooks: list[object] = instance.records.hooks  # type: ignore[assignment]
    hooks.append(hook)
    try:
        assert outcome(instance, steps) == as_set
    finally:
        hooks.remove(hook)


def test_a_large_set_is_written_in_one_go(
    instance: Instance, new_database: Callable[[], str]
) -> None:
    changes = [insert("cmn_department", {"name": f"Department {n}"}) for n in range(1200)]
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        results = transaction.apply_all(changes)
        assert len({result.sys_id for result in results if not isinstance(result, Refused)}) == 1200
        assert len(transaction.find("cmn_department", "nameSTARTSWITHDepartment ")) == 1200
