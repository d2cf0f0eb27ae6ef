"""Conditions on related rows: how they are read, what they mean, and what limits them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midspan.dictionary import Dictionary, FieldSpec, TableSpec
from midspan.kernel.errors import InvalidField, InvalidQuery, InvalidRequest, InvalidTable
from midspan.query import (
    ALWAYS,
    NEVER,
    Condition,
    Operator,
    Or,
    Order,
    Query,
    ReadOptions,
    Related,
    Term,
    Unknown,
    both,
    evaluate,
    parse,
    paths_of,
    plan_read,
    related_in,
    resolve_query,
)
from midspan.query.parse import MOST_PARTS, format_query
from midspan.query.related import MOST_RELATED, belonging

DICTIONARY = Dictionary.build(
    [
        TableSpec(
            name="task",
            extendable=True,
            fields=(
                FieldSpec(name="number", display=True),
                FieldSpec(name="state", type="integer"),
                FieldSpec(name="owner", type="reference", reference="person"),
                FieldSpec(name="comments", type="journal_input"),
            ),
        ),
        TableSpec(name="incident", extends="task", fields=(FieldSpec(name="cause"),)),
        TableSpec(
            name="person",
            fields=(
                FieldSpec(name="name", display=True),
                FieldSpec(name="boss", type="reference", reference="person"),
            ),
        ),
        TableSpec(
            name="role",
            fields=(
                FieldSpec(name="title"),
                FieldSpec(name="person", type="reference", reference="person"),
            ),
        ),
    ]
)


def resolved(text: str, unknown: Unknown = Unknown.IGNORE, table: str = "person") -> str:
    condition, _ = resolve_query(DICTIONARY, table, parse(text), unknown)
    return {ALWAYS: "ALWAYS", NEVER: "NEVER"}.get(condition, str(condition))


def warnings(text: str, table: str = "person") -> tuple[str, ...]:
    return resolve_query(DICTIONARY, table, parse(text))[1]


LIST = "RLQUERYtask.owner,>=1^state=2^ENDRLQUERY"
ROLE = "RLQUERYrole.person,=0^ENDRLQUERY"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (LIST, "COUNT(task.owner=sys_id WHERE state=2)>=1"),
        ("^RLQUERYtask.owner,>=1^state=2", "COUNT(task.owner=sys_id WHERE state=2)>=1"),
        (
            "name=x^RLQUERYtask.owner,<3,m2m^state=2^NQstate=3^ENDRLQUERY^boss=y",
            "(name=x AND COUNT(task.owner=sys_id WHERE (state=2 OR state=3))<3 AND boss=y)",
        ),
        ("RLQUERYtask.owner,>0,state=2^ENDRLQUERY", "COUNT(task.owner=sys_id WHERE state=2)>0"),
        (
            f"name=x^OR{ROLE}^ORname=y^NQ{ROLE}",
            "((name=x OR name=y) AND COUNT(role.person=sys_id WHERE ())=0"
            " AND COUNT(role.person=sys_id WHERE ())=0)",
        ),
        (
            f"RLQUERYtask.owner,!=2^{ROLE}^state=1^ENDRLQUERY",
            "COUNT(task.owner=sys_id WHERE (COUNT(role.person=sys_id WHERE ())=0 AND state=1))!=2",
        ),
        (
            "SUBQUERYboss,owner,task^state=2^ENDSUBQUERY^name=x",
            "(COUNT(task.owner=boss WHERE state=2)>=1 AND name=x)",
        ),
        (
            "SUBQUERYsys_id,owner,task^SUBQUERYowner,person,role^^title=a^^ENDSUBQUERY^ENDSUBQUERY",
            "COUNT(task.owner=sys_id WHERE COUNT(role.person=owner WHERE title=a)>=1)>=1",
        ),
        (
            "JOINperson.boss=task.owner!state=1^^number=2^name=x",
            "(COUNT(task.owner=boss WHERE (state=1 AND number=2))>=1 AND name=x)",
        ),
        (
            "name=x^ORsys_idSUBQUERYowner,task,state=1",
            "(name=x OR COUNT(task.owner=sys_id WHERE state=1)>=1)",
        ),
        ("ENDRLQUERY^name=x^ENDSUBQUERY", "name=x"),
        ("bossSUBQUERYowner,task", "COUNT(task.owner=boss WHERE ())>=1"),
    ],
)
def test_reading(text: str, shown: str) -> None:
    query = parse(text)
    assert (str(query.condition), query.invalid) == (shown, ())
    assert parse(format_query(query)) == query


@pytest.mark.parametrize(
    ("text", "invalid"),
    [
        ("RLQUERYtask^state=2^ENDRLQUERY^name=x", "RLQUERYtask^state=2^ENDRLQUERY"),
        ("RLQUERYtask.owner,many^state=2^name=x", None),
        ("RLQUERYtask.owner,>=-1^ENDRLQUERY^name=x", "RLQUERYtask.owner,>=-1^ENDRLQUERY"),
        ("SUBQUERYsys_id,owner^state=2^ENDSUBQUERY^name=x", None),
        ("JOINperson.sys_id=task.owner^name=x", "JOINperson.sys_id=task.owner"),
    ],
)
def test_what_cannot_be_read_takes_its_conditions_with_it(text: str, invalid: str | None) -> None:
    """The conditions inside are about another table and never fall on the own one."""
    query = parse(text)
    assert len(query.invalid) == 1
    assert invalid is None or query.invalid == (invalid,)
    assert "state" not in str(query.condition)
    assert parse(format_query(query)) == query


def test_an_order_is_that_of_the_result_unless_a_block_closes_around_it() -> None:
    assert parse("RLQUERYtask.owner,>=1^state=1^ORDERBYname").order == (Order("name"),)
    assert parse("RLQUERYtask.owner,>=1^ORDERBYstate^ENDRLQUERY^ORDERBYname").order == (
        Order("name"),
    )


@pytest.mark.parametrize(
    ("text", "table", "shown"),
    [
        (LIST, "person", "COUNT(task.owner=sys_id WHERE state=2)>=1"),
        ("RLQUERYtask.owner,>=0^ENDRLQUERY", "person", "ALWAYS"),
        ("RLQUERYtask.owner,<0^ENDRLQUERY", "person", "NEVER"),
        ("RLQUERYtask.owner,=0^state=high^ENDRLQUERY", "person", "ALWAYS"),
        ("RLQUERYtask.owner,>0^state=high^ENDRLQUERY", "person", "NEVER"),
        (
            "JOINincident.cause=person.name!",
            "task",
            "COUNT(person.name=ref_incident.cause WHERE ())>=1",
        ),
        ("JOINtask.owner=person.boss!", "incident", "COUNT(person.boss=owner WHERE ())>=1"),
        (
            "JOINperson.sys_id=task.owner!^JOINtask.number=role.title!^name=x",
            "person",
            "(COUNT(task.owner=sys_id WHERE COUNT(role.title=number WHERE ())>=1)>=1 AND name=x)",
        ),
        (
            "name=x^ORJOINperson.sys_id=task.owner!state=1",
            "person",
            "(COUNT(task.owner=sys_id WHERE ())>=1"
            " AND (name=x OR COUNT(task.owner=sys_id WHERE state=1)>=1))",
        ),
    ],
)
def test_meaning(text: str, table: str, shown: str) -> None:
    assert resolved(text, table=table) == shown


BROKEN = (
    "RLQUERYtsk.owner,=0^ENDRLQUERY",
    "RLQUERYtask.missing,=0^ENDRLQUERY",
    "RLQUERYtask.comments,=0^ENDRLQUERY",
    "RLQUERYtask.owner,=0^missing=1^ENDRLQUERY",
    "RLQUERYtask.owner,=0^no term^ENDRLQUERY",
    "RLQUERYtask.owner,=0^number=javascript:gs.print(1)^ENDRLQUERY",
    "SUBQUERYmissing,owner,task^ENDSUBQUERY",
    "JOINrole.title=task.number!",
)


@pytest.mark.parametrize("text", BROKEN)
def test_what_cannot_be_used_is_left_out_or_refused(text: str) -> None:
    """A condition that grants never holds because a part of it was left out."""
    assert len(warnings(f"name=x^{text}")) == 1
    assert resolved(f"name=x^{text}", Unknown.NOTHING) == "NEVER"
    with pytest.raises((InvalidField, InvalidQuery, InvalidTable)):
        resolved(f"name=x^{text}", Unknown.REFUSE)


def test_a_table_that_is_missing_has_a_nearest() -> None:
    with pytest.raises(InvalidTable) as caught:
        resolved(BROKEN[0], Unknown.REFUSE)
    assert caught.value.hint == "Did you mean 'task'?"


def nested(levels: int) -> str:
    tables = ("RLQUERYtask.owner,=0", "RLQUERYperson.name,=0")
    heads = [tables[level % 2] for level in range(levels)]
    return "^".join([*heads, *["ENDRLQUERY"] * levels])


@pytest.mark.parametrize(
    "text",
    [
        "^".join([ROLE] * (MOST_RELATED + 1)),
        "^NQ".join(["name=x", *[f"EQ^{ROLE}"] * (MOST_RELATED + 1)]),
        nested(MOST_RELATED + 1),
        nested(5000),
        "^".join(["RLQUERYtask.owner,=0"] * 5000),
        "JOINperson.sys_id=role.person!" * 2 + "^^" * 5000,
    ],
    ids=["many", "alternatives", "deep", "very deep", "never ended", "carets"],
)
@pytest.mark.parametrize("unknown", [Unknown.IGNORE, Unknown.NOTHING])
def test_too_many_find_nothing(text: str, unknown: Unknown) -> None:
    """However they are nested, leaving some out never finds more."""
    if text.startswith("JOIN"):
        assert len(warnings(text)) == 1
    else:
        assert resolved(text, unknown) == "NEVER"
        with pytest.raises(InvalidQuery, match=f"More than ({MOST_RELATED}|{MOST_PARTS}) "):
            resolved(text, Unknown.REFUSE)


@pytest.mark.parametrize("unknown", [Unknown.IGNORE, Unknown.NOTHING])
@pytest.mark.parametrize("join", ["^", "^OR", "^NQ"])
def test_more_parts_than_are_read_find_nothing(join: str, unknown: Unknown) -> None:
    """Wherever they stand: none of whom nothing is known must not become all."""
    text = join.join(["name=x"] * (MOST_PARTS + 1))
    assert resolved(text, unknown) == "NEVER"
    for head in ("JOINperson.sys_id=role.person!", "sys_idSUBQUERYperson,role,"):
        inside = f"{head}{text.replace('^', '^^')}"
        assert resolved(inside, unknown) == "NEVER"
        with pytest.raises(InvalidRequest, match="more than 4000 parts"):
            plan_read(DICTIONARY, "person", parse(inside), ReadOptions(unknown=unknown))


@pytest.mark.parametrize("around", ["{}", "JOINperson.sys_id=role.person!{}", "a=1^NQ{}"])
def test_what_was_not_read_is_written_as_it_came(around: str) -> None:
    """So whoever reads a written query again does not find all rows."""
    many = "^".join(["name=x"] * (MOST_PARTS + 1))
    text = around.format(many.replace("^", "^^") if "JOIN" in around else many)
    query = parse(text)
    assert query.invalid == ()
    assert format_query(query) == text
    assert parse(format_query(query)) == query


@pytest.mark.parametrize("joined", [both, lambda one, other: Or((one, other))], ids=["and", "or"])
def test_beside_other_conditions_it_still_finds_nothing(
    joined: Callable[[Condition, Condition], Condition],
) -> None:
    unread = parse("^".join(["name=x"] * (MOST_PARTS + 1))).condition
    query = Query(condition=joined(Term("name", Operator.EQUALS, "x"), unread))
    assert not query.is_whole
    condition, warnings = resolve_query(DICTIONARY, "person", query)
    assert condition == NEVER
    assert warnings == (f"More than {MOST_PARTS} parts in the query",)
    for unresolved in (lambda: evaluate(unread, lambda path: ""), lambda: list(paths_of(unread))):
        with pytest.raises(TypeError, match="not resolved"):
            unresolved()


def test_as_many_as_allowed_are_resolved() -> None:
    condition, problems = resolve_query(
        DICTIONARY, "person", parse("^".join([ROLE] * MOST_RELATED))
    )
    assert len(list(related_in(condition))) == MOST_RELATED
    assert problems == ()


def test_an_evaluator_counts_only_with_a_counter() -> None:
    condition, _ = resolve_query(DICTIONARY, "person", parse(ROLE))
    assert isinstance(condition, Related)
    assert [path.name for path in paths_of(condition)] == ["sys_id"]
    assert not evaluate(condition, lambda path: "a" * 32)
    for found, holds in ((0, True), (2, False)):
        assert evaluate(condition, lambda path: "a" * 32, count=lambda *_: found) is holds  # noqa: B023
    assert evaluate(condition, lambda path: "", count=lambda *_: 2)
    assert str(belonging(condition, "a" * 32)) == f"person={'a' * 32}"
    assert belonging(condition, "") == NEVER
