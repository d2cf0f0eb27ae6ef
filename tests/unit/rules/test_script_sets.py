"""Scripts and sets: a page of records has the same result as its records one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midspan.instance import Instance
from midspan.records import Change, Operation, Refused, insert, update
from midspan.scripting import rulepage
from midspan.security import SYSTEM

from .test_sets import RowWise, row_wise
from .worlds import find, logged, rules

ROUNDS = itertools.count(1)
TEXTS = st.sampled_from(["", "one", "two", "refused", "throws", "unrefused", "said", "event"])
STEP = st.tuples(
    st.sampled_from(["insert", "update", "update"]),
    st.integers(0, 4),
    st.fixed_dictionaries(
        {},
        optional={
            "short_description": TEXTS,
            "state": st.sampled_from(["1", "2", "6"]),
            "impact": st.sampled_from(["1", "2"]),
            "urgency": st.sampled_from(["1", "3"]),
        },
    ),
)
BEFORE = """(function executeRule(current, previous) {
  var text = current.short_description;
  if (text == 'refused' || text == 'unrefused') current.setAbortAction(true);
  if (text == 'said') { gs.info('said ' + current.state); gs.addErrorMessage('m'); }
  if (text.changes()) current.description += previous.short_description + '>' + text + ';';
  if (text == 'event') gs.eventQueue('x.set', current, current.operation(), '' + current.state);
  if (text == 'throws') { current.close_notes = 'thrown'; throw new Error('at ' + current.state); }
})(current, previous);"""
RULES = (
    {"order": "10", "name": "Script", "script": BEFORE},
    {"order": "20", "name": "Plain", "filter_condition": "state=2", "template": "urgency=1"},
    {
        "order": "30",
        "name": "Condition",
        "condition": "current.priority == 1 && current.short_description != 'one'",
        "script": "current.description += 'p' + current.impact.changesTo('1')",
    },
    {
        "order": "1000",
        "name": "Unrefuse",
        "condition": "current.short_description == 'unrefused'",
        "script": "current.setAbortAction(false)",
    },
    {
        "order": "1001",
        "name": "Late",
        "script": "if (current.state == 6) gs.info('late ' + current.state)",
    },
    {
        "when": "after",
        "name": "After",
        "script": "gs.info('after ' + current.operation() + current.state.changes())",
    },
)


def outcome(instance: Instance, steps: list[tuple[str, int, dict[str, str]]]) -> Sequence[object]:
    """Carry out steps on fresh records; return results, records, log lines and events."""
    group = next(ROUNDS)
    ids = [f"{group:023x}5{number:08x}" for number in range(5)]
    changes: list[Change] = [
        insert("incident", values, sys_id=ids[number])
        if kind == "insert"
        else update("incident", ids[number], values)
        for kind, number, values in steps
    ]
    logged(instance)
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
    events = find(instance, "sysevent", f"instanceIN{','.join(ids)}^ORDERBYsys_id")
    told = [
        (ids.index(e.get("instance")), e.get("name"), e.get("parm1"), e.get("parm2"))
        for e in events
    ]
    return kinds, rows, logged(instance), told


@pytest.fixture
def ruled(instance: Instance) -> Iterator[Instance]:
    with rules(instance, *RULES):
        yield instance


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEP, min_size=1, max_size=14))
def test_scripts_have_the_same_result_row_by_row(
    ruled: Instance, steps: list[tuple[str, int, dict[str, str]]]
) -> None:
    hook = RowWise()
    as_set = outcome(ruled, steps)
    ruled.records.hooks.append(hook)
    try:
        assert outcome(ruled, steps) == as_set
    finally:
        ruled.records.hooks.remove(hook)


def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of records of each run of a script."""
    seen: list[int] = []
    sent = rulepage._sent

    def counted(page: rulepage.RulePage) -> object:
        seen.append(len(page.rows))
        return sent(page)

    monkeypatch.setattr(rulepage, "_sent", counted)
    return seen


def test_a_bulk_write_crosses_to_the_worker_once_a_page(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "current.description = previous.short_description + '>' + current.short_description"
    seen = runs(monkeypatch)
    with rules(instance, {"script": script}):
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            many = [insert("incident", {"short_description": f"n{n}"}) for n in range(600)]
            made = transaction.apply_all(many)
        ids = [result.sys_id for result in made if not isinstance(result, Refused)]
        assert seen == [250, 250, 100]
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply_all(
                [update("incident", i, {"short_description": f"u{n}"}) for n, i in enumerate(ids)]
            )
            found = transaction.load("incident", ids)
    assert [found[one].get("description") for one in ids] == [f"n{n}>u{n}" for n in range(600)]


def test_a_script_that_looks_at_other_records_sees_each_one_stored(instance: Instance) -> None:
    script = """var seen = new GlideRecord('incident');
        gs.info('looking');
        seen.addQuery('short_description', current.short_description); seen.query();
        current.description = seen.getRowCount();"""
    with rules(instance, {"script": script}):
        assert not row_wise(instance, "incident", Operation.INSERT)
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            many = [insert("incident", {"short_description": "counted"}) for _ in range(5)]
            made = transaction.apply_all(many, collect=True)
        found = [result.values["description"] for result in made if not isinstance(result, Refused)]
        assert found == ["0", "1", "2", "3", "4"]
        assert [text for _, text in logged(instance)] == ["looking"] * 5
        assert row_wise(instance, "incident", Operation.INSERT)
    assert not row_wise(instance, "incident", Operation.INSERT)


def test_the_first_refusal_of_a_set_is_the_one_that_is_raised(instance: Instance) -> None:
    script = "if (current.short_description == 'no') current.setAbortAction(true)"
    wrong = [{"short_description": "no"}, {"short_description": "x", "priority": "high"}]
    for row_by_row in (False, True):
        hook = RowWise()
        with rules(instance, {"name": "No", "script": script}):
            instance.records.hooks.extend([hook] * row_by_row)
            with (
                pytest.raises(Exception, match="Operation Failed"),
                instance.records.write(SYSTEM, enforce=False) as transaction,
            ):
                transaction.apply_all([insert("incident", values) for values in wrong])
            del instance.records.hooks[len(instance.records.hooks) - row_by_row :]
