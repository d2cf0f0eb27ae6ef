"""The explanation of a decision is the decision, and its rules say why."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from midspan.dictionary import Dictionary, FieldPath, FieldSpec, TableSpec
from midspan.query import ALWAYS, NEVER, evaluate
from midspan.security import SYSTEM, Access, AccessControls, AccessRule, Actor
from midspan.security.explain import OneRow, explain, paths_for

DICTIONARY = Dictionary.build(
    [
        TableSpec(name="task", extendable=True, fields=(FieldSpec(name="owner"),)),
        TableSpec(name="incident", extends="task", fields=(FieldSpec(name="pw", type="password"),)),
    ]
)
NOW = datetime(2026, 1, 31, tzinfo=UTC)
ROLES = ("admin", "worker", "boss")
TABLES = ("task", "incident")
OPERATIONS = ("read", "write", "create", "delete")
ACTORS = st.one_of(
    st.just(SYSTEM),
    st.builds(
        Actor,
        sys_id=st.just("a" * 32),
        user_name=st.just("ann"),
        roles=st.frozensets(st.sampled_from(ROLES)),
    ),
)
RULES = st.builds(
    AccessRule,
    name=st.sampled_from(
        ["task", "incident", "*", "task.owner", "incident.owner", "*.owner", "task.*", "*.*"]
    ),
    operation=st.sampled_from(OPERATIONS),
    roles=st.frozensets(st.sampled_from(ROLES), max_size=2),
    condition=st.sampled_from(["", "owner=ann", "ownerISEMPTY^ORowner=bo", "owner=a^owner=b"]),
    scripted=st.booleans(),
    admin_overrides=st.booleans(),
)


@given(
    actor=ACTORS,
    rules=st.lists(RULES, max_size=6),
    table=st.sampled_from(TABLES),
    operation=st.sampled_from(OPERATIONS),
    field=st.sampled_from(["", "owner"]),
    owner=st.sampled_from(["", "ann", "bo"]),
)
def test_an_explanation_is_what_happens(
    actor: Actor, rules: list[AccessRule], table: str, operation: str, field: str, owner: str
) -> None:
    access = Access(actor, DICTIONARY, AccessControls(rules), NOW)

    def get(path: FieldPath) -> str:
        return owner

    allowed = access.allows(table, operation, get)
    if operation in ("write", "delete"):
        allowed = allowed and access.allows(table, "read", get)
    if field:
        rows = access.field_rows(table, field, operation)
        if rows not in (ALWAYS, NEVER):  # for rows of this very class
            rows = access.class_field(table, field, operation)
        allowed = allowed and evaluate(rows, get)
    found = explain(access, table, operation, field, OneRow(get))
    assert found.decision == ("allowed" if allowed else "refused")
    for step in found.steps:
        granted = any(rule.outcome == "grants" for rule in step.rules)
        if step.rules and "extends this one" not in step.reason:
            assert (step.outcome == "grants") is (granted or actor.trusted), step
        assert all(rule.name == step.decided_by for rule in step.rules)
    open_question = explain(access, table, operation, field)
    if open_question.decision != "depends":
        assert open_question.decision == found.decision


def test_the_values_that_failed_are_shown() -> None:
    rule = AccessRule(name="task", operation="read", condition="owner=ann", sys_id="1")
    actor = Actor(sys_id="a" * 32, user_name="ann")
    access = Access(actor, DICTIONARY, AccessControls([rule]), NOW)
    assert [path.name for path in paths_for(access, "incident", "read")] == ["owner"]
    step = explain(access, "incident", "read", row=OneRow(lambda path: "bo")).steps[0]
    assert step.names == ("incident", "task", "*")
    assert step.decided_by == "task"
    seen = step.rules[0]
    assert (seen.outcome, seen.reason) == (
        "refuses",
        "asks for no role; its condition does not hold",
    )
    assert [(test.test, test.value, test.holds) for test in seen.tests] == [
        ("owner=ann", "bo", False)
    ]


def test_of_a_function_what_it_yields_is_shown() -> None:
    asked = "glidefunction:concat(owner,'!')=ann!"
    rule = AccessRule(name="task", operation="read", condition=asked, sys_id="1")
    access = Access(
        Actor(sys_id="a" * 32, user_name="ann"), DICTIONARY, AccessControls([rule]), NOW
    )
    assert [path.name for path in paths_for(access, "incident", "read")] == ["owner"]
    (seen,) = explain(access, "incident", "read", row=OneRow(lambda path: "bo")).steps[0].rules
    assert [(test.test, test.value, test.holds) for test in seen.tests] == [(asked, "bo!", False)]


def test_roles_wildcards_and_empty_rules_are_told_apart() -> None:
    rules = [
        AccessRule(name="*", operation="read", roles=frozenset({"boss"}), sys_id="1"),
        AccessRule(name="*", operation="read", sys_id="2"),
    ]
    actor = Actor(sys_id="a" * 32, user_name="ann", roles=frozenset({"worker"}))
    access = Access(actor, DICTIONARY, AccessControls(rules), NOW)
    found = explain(access, "task", "read", "owner")
    assert found.decision == "refused"
    assert [rule.reason for rule in found.steps[0].rules] == [
        "needs one of the roles boss",
        "a rule without role, condition and script grants nothing",
    ]
    assert found.steps[1].reason == "no rule: what holds for the table"


def test_a_secret_is_never_read() -> None:
    access = Access(SYSTEM, DICTIONARY, AccessControls(), NOW)
    found = explain(access, "incident", "read", "pw")
    assert (found.decision, found.steps[1].reason) == (
        "refused",
        "a secret is never read, whatever the rules say",
    )
