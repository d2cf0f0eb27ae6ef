"""Access controls: which rule decides, what it leaves of a read, and who never passes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from midspan.dictionary import Dictionary, FieldSpec, TableSpec
from midspan.kernel.errors import NotAuthorized
from midspan.query import ALWAYS, NEVER, ReadOptions, evaluate, parse, plan_read
from midspan.security import SYSTEM, Access, AccessControls, AccessRule, Actor
from midspan.security.undecided import undecided

DICTIONARY = Dictionary.build(
    [
        TableSpec(
            name="task",
            fields=(
                FieldSpec(name="number", display=True),
                FieldSpec(name="owner", type="reference", reference="person"),
                FieldSpec(name="notes"),
            ),
        ),
        TableSpec(name="incident", extends="task", fields=(FieldSpec(name="cause"),)),
        TableSpec(name="change", extends="task"),
        TableSpec(
            name="person",
            fields=(
                FieldSpec(name="name"),
                FieldSpec(name="mail"),
                FieldSpec(name="pw", type="password"),
            ),
        ),
    ]
)
NOW = datetime(2026, 1, 31, tzinfo=UTC)
ANN = Actor(sys_id="a" * 32, user_name="ann", roles=frozenset({"worker"}))
ROOT = Actor(sys_id="b" * 32, user_name="root", roles=frozenset({"admin"}))


def access(actor: Actor, *rules: AccessRule) -> Access:
    return Access(actor, DICTIONARY, AccessControls(rules), NOW)


def rule(name: str, *roles: str, operation: str = "read", **more: object) -> AccessRule:
    return AccessRule(name=name, operation=operation, roles=frozenset(roles), **more)  # type: ignore[arg-type]


def test_without_a_rule_only_the_administrator_passes() -> None:
    assert access(ANN).rows("task", "read") == NEVER
    assert access(ROOT).rows("task", "read") == ALWAYS
    assert access(SYSTEM).rows("task", "read") == ALWAYS


def test_an_empty_rule_grants_nothing_and_scripts_are_not_guessed() -> None:
    assert access(ANN, rule("task")).rows("task", "read") == NEVER
    scripted = rule("task", "worker", scripted=True)
    rows = access(ANN, scripted).rows("incident", "read")
    assert [each.rule for each in undecided(rows)] == [scripted]
    assert access(ANN, scripted).settled(rows, "incident", ALWAYS) == rows  # nobody runs scripts
    assert not evaluate(rows, lambda path: "")


def test_the_most_specific_name_decides_alone() -> None:
    rules = (rule("task", "worker"), rule("incident", "boss"))
    assert access(ANN, *rules).rows("incident", "read") == NEVER
    assert access(ANN, *rules).rows("change", "read") == ALWAYS


def test_classes_of_a_hierarchy_keep_their_own_rules() -> None:
    rules = (rule("task", "worker"), rule("incident", "boss"))
    condition = str(access(ANN, *rules).rows("task", "read"))
    assert "sys_class_name" in condition
    assert "incident" not in condition
    assert "change" in condition


def test_a_condition_becomes_part_of_the_plan() -> None:
    own = rule("task", condition="owner=javascript:gs.getUserID()")
    plan = plan_read(DICTIONARY, "task", parse(""), ReadOptions(columns=["number"]))
    assert ANN.sys_id in str(access(ANN, own).restrict(plan).condition)


def test_unreadable_fields_are_left_out_and_may_not_be_asked_for() -> None:
    rules = (rule("task", "worker"), rule("task.notes", "boss"))
    granted = access(ANN, *rules)
    plan = plan_read(DICTIONARY, "task", parse(""), ReadOptions(columns=["number", "notes"]))
    assert [path.name for path in granted.restrict(plan).columns] == ["number"]
    for query in ("notes=x", "ORDERBYnotes"):
        asked = plan_read(DICTIONARY, "task", parse(query), ReadOptions(columns=["number"]))
        with pytest.raises(NotAuthorized) as caught:
            granted.restrict(asked)
        assert caught.value.detail is not None


def test_walking_a_reference_needs_rights_where_it_leads() -> None:
    names = ["owner", "owner.name", "owner.mail"]
    plan = plan_read(DICTIONARY, "task", parse(""), ReadOptions(columns=names))
    closed = access(ANN, rule("task", "worker")).restrict(plan)
    assert [path.name for path in closed.columns] == ["owner"]
    named = Access(
        ANN, DICTIONARY, AccessControls((rule("task", "worker"),)), NOW, shows_names=True
    ).restrict(plan)
    assert [path.name for path in named.columns] == ["owner", "owner.name"]
    opened = access(ANN, rule("task", "worker"), rule("person", "worker")).restrict(plan)
    assert [path.name for path in opened.columns] == names


def test_passwords_are_readable_for_nobody() -> None:
    for actor in (ROOT, SYSTEM):
        assert not access(actor, rule("person", "worker")).field("person", "pw", "read")


def test_rules_that_bind_administrators_bind_them() -> None:
    strict = rule("task", "boss", admin_overrides=False)
    assert access(ROOT, strict).rows("task", "read") == NEVER


def test_listed_rules_grant_by_role_and_unknown_ids_never() -> None:
    allowed = AccessRule(
        name="svc",
        operation="execute",
        roles=frozenset({"worker"}),
        sys_id="1" * 32,
        kind="REST_Endpoint",
    )
    assert access(ANN, allowed).grants(["1" * 32])
    assert not access(ANN, allowed).grants(["2" * 32])


OWNED = "RLQUERYtask.owner,=0^number=1^ENDRLQUERY"


def test_related_rows_that_are_not_readable_do_not_count() -> None:
    plan = plan_read(DICTIONARY, "person", parse(OWNED), ReadOptions(columns=["name"]))
    rules = (rule("person", "worker"), rule("task", "worker", condition="notes=open"))
    seen = str(access(ANN, *rules).restrict(plan).condition)
    assert seen.startswith("COUNT(task.owner=sys_id WHERE (number=1 AND (")
    assert seen.count("notes=open") == 3, "each class of task has the condition of the rule"
    assert access(SYSTEM).restrict(plan) == plan


@pytest.mark.parametrize(
    "query",
    [
        OWNED,
        "RLQUERYtask.number,=0^ENDRLQUERY",
        "nameSUBQUERYnotes,task",
        "RLQUERYperson.name,=0^RLQUERYtask.owner,>0^numberSTARTSWITHx^ENDRLQUERY^ENDRLQUERY",
        "RLQUERYperson.name,=0^mail=x^ENDRLQUERY",
        "mailSUBQUERYname,person",
        "RLQUERYchange.owner,=0^ENDRLQUERY",
    ],
)
def test_a_related_field_or_table_that_is_hidden_refuses_the_query(query: str) -> None:
    rules = (
        rule("person", "worker"),
        rule("person.mail", "admin"),
        rule("task", "worker"),
        rule("task.number", "admin"),
        rule("task.notes", "admin"),
        rule("change", "admin"),
    )
    plan = plan_read(DICTIONARY, "person", parse(query), ReadOptions(columns=["name"]))
    assert not plan.warnings
    with pytest.raises(NotAuthorized):
        access(ANN, *rules).restrict(plan)
    access(ROOT, *rules).restrict(plan)


def test_a_condition_on_related_rows_grants() -> None:
    """It looks at all of them, as every condition of a rule does."""
    own = rule("person", condition="RLQUERYtask.owner,>=1^notes=open^ENDRLQUERY")
    plan = plan_read(DICTIONARY, "person", parse(""), ReadOptions(columns=["name"]))
    restricted = access(ANN, own).restrict(plan).condition
    assert str(restricted) == "(COUNT(task.owner=sys_id WHERE notes=open)>=1)"
    wrong = rule("person", condition="RLQUERYtask.owner,=0^nots=open^ENDRLQUERY")
    assert access(ANN, wrong).restrict(plan).condition == NEVER


def test_one_row_is_granted_by_a_condition_on_related_rows_only_with_a_counter() -> None:
    who = access(ANN, rule("person", condition="RLQUERYtask.owner,=0^ENDRLQUERY"))
    assert not who.allows("person", "read", lambda path: "c" * 32)
    assert who.allows("person", "read", lambda path: "c" * 32, lambda *_: 0)
    assert not who.allows("person", "read", lambda path: "c" * 32, lambda *_: 1)
