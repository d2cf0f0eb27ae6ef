"""Identification and reconciliation, whatever is reported: no second copy, no order, no usurper."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midspan.cmdb import Options, answer_of, read_payload
from midspan.cmdb.reconcile import LastWord, Reconciler, Report
from midspan.cmdb.rule import Precedence, RuleBook, Staleness
from midspan.dictionary import Dictionary
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import RecordTransaction
from midspan.security import SYSTEM
from midspan.testing import open_instance

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SERVERS = ("cmdb_ci_computer", "cmdb_ci_server", "cmdb_ci_linux_server", "cmdb_ci_win_server")
APPS = ("cmdb_ci_app_server", "cmdb_ci_web_server")
FIELDS = ("name", "sys_class_name", "serial_number", "ram", "os", "duplicate_of")


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with open_instance(clock=ManualClock()) as opened:
        yield opened


@st.composite
def payloads(draw: st.DrawFn) -> dict[str, Any]:
    """Return a payload of servers that may mean each other, and applications on them."""
    servers = draw(st.integers(1, 4))
    items: list[dict[str, Any]] = []
    for _ in range(servers):
        values = {
            "name": draw(st.sampled_from(["a", "b", "B", "c"])),
            "serial_number": draw(st.sampled_from(["", "s1", "s2"])),
            "ram": draw(st.sampled_from(["", "1", "2"])),
            "os": draw(st.sampled_from(["Linux", "Unix"])),
        }
        given = {name: text for name, text in values.items() if text}
        items.append({"className": draw(st.sampled_from(SERVERS)), "values": given})
    relations = []
    for _ in range(draw(st.integers(0, 3))):
        relations.append(
            {
                "parent": len(items),
                "child": draw(st.integers(0, servers - 1)),
                "type": "Runs on::Runs",
            }
        )
        name = draw(st.sampled_from(["x", "y"]))
        items.append({"className": draw(st.sampled_from(APPS)), "values": {"name": name}})
    return {"items": items, "relations": relations}


def shuffled(payload: dict[str, Any], chance: Random) -> dict[str, Any]:
    """Return the payload in another order."""
    order = list(range(len(payload["items"])))
    chance.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    relations = [
        {**each, "parent": place[each["parent"]], "child": place[each["child"]]}
        for each in payload["relations"]
    ]
    chance.shuffle(relations)
    return {"items": [payload["items"][old] for old in order], "relations": relations}


class _Undo(Exception):
    """Takes back what an example wrote."""


def rehearse(instance: Instance, *given: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Take payloads one after the other; return the last answer's operations and what is stored."""
    operations: list[Any] = []
    state: list[Any] = []
    try:
        with instance.records.write(SYSTEM) as records:
            for payload in given:
                outcome = instance.identification.take(
                    records, read_payload(payload), "ServiceNow", Options(enhanced=True)
                )
                body: Any = answer_of(outcome)
                operations = [e["operation"] for e in (*body["items"], *body["relations"])]
            state = stored(records)
            raise _Undo
    except _Undo:
        pass
    return operations, state


def stored(records: RecordTransaction) -> list[Any]:
    """Return all items without their ids, and the relations between them by what they are."""
    found = records.find("cmdb_ci", "")
    loaded = records.load("cmdb", [each.sys_id for each in found])
    shown = {sys_id: tuple(each.get(name) for name in FIELDS) for sys_id, each in loaded.items()}
    relations = [
        (shown[each.get("parent")], shown[each.get("child")])
        for each in records.find("cmdb_rel_ci", "")
    ]
    return [sorted(shown.values()), sorted(relations)]


@given(payload=payloads())
@FEW
def test_the_same_payload_again_changes_nothing(
    instance: Instance, payload: dict[str, Any]
) -> None:
    _, once = rehearse(instance, payload)
    operations, twice = rehearse(instance, payload, payload)
    assert twice == once
    assert set(operations) == {"NO_CHANGE"}


@given(before=payloads(), payload=payloads(), chance=st.randoms())
@FEW
def test_the_order_of_a_payload_does_not_matter(
    instance: Instance, before: dict[str, Any], payload: dict[str, Any], chance: Random
) -> None:
    _, one = rehearse(instance, before, payload)
    _, other = rehearse(instance, before, shuffled(payload, chance))
    assert other == one


SOURCES = ("high", "middle", "low", "none")
RULES = RuleBook(
    precedences=tuple(
        Precedence(table="cmdb_ci", source=source, priority=number, attributes=frozenset({"ram"}))
        for number, source in enumerate(SOURCES[:3])
    ),
    staleness=(Staleness("cmdb_ci", "high", timedelta(hours=5)),),
)
START = datetime(2026, 1, 1, tzinfo=UTC)


@given(
    reports=st.lists(
        st.tuples(st.sampled_from(SOURCES), st.sampled_from(["", "1", "2"]), st.integers(0, 4)),
        max_size=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_a_lower_source_never_overwrites(
    instance: Instance, reports: list[tuple[str, str, int]]
) -> None:
    dictionary: Dictionary = instance.holder.current().dictionary
    reconciler = Reconciler(dictionary, RULES)
    value, now = "", START
    last: LastWord | None = None
    for source, text, hours in reports:
        now += timedelta(hours=hours)
        report = Report(cls="cmdb_ci", source=source, values={"ram": text}, now=now)
        words = {} if last is None else {"ram": last}
        decided = reconciler.decide(report, {"ram": value}, words, lambda _: True)
        new = decided.values.get("ram", value)
        if new != value and value:
            assert new, "a rule has to allow it before a field is emptied"
            assert source != "none", "a source without a rule overwrites nothing"
            stale = last and last.source == "high" and now - last.at >= timedelta(hours=5)
            lower = last and SOURCES.index(source) > SOURCES.index(last.source)
            assert stale or not lower
        value = new
        if decided.claimed:
            last = LastWord(source, now)
