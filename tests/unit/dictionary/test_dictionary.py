"""The dictionary: inheritance, overrides, paths, storage collisions, and metadata as records."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dictionary.families import families

import midspan.dictionary.fieldtype
import midspan.dictionary.table
import midspan.dictionary.values
from midspan.apps.load import builtin_apps
from midspan.dictionary import (
    Choice,
    Dictionary,
    Field,
    FieldSpec,
    NumberFormat,
    Strategy,
    TableSpec,
)
from midspan.dictionary.metadata import (
    CHOICE_COLUMNS,
    FIELD_COLUMNS,
    NUMBER_COLUMNS,
    OVERRIDE_COLUMNS,
    TABLE_COLUMNS,
    Metadata,
    rows_of,
    specs_of,
)
from midspan.dictionary.values import canonical, is_valid
from midspan.kernel.errors import InvalidDefinition, InvalidField, InvalidTable, InvalidValue

TASK = TableSpec(
    name="task",
    label="Task",
    number=NumberFormat("TASK"),
    fields=(
        FieldSpec(name="number", display=True),
        FieldSpec(name="state", type="integer", default="1", choices=(Choice("1", "Open"),)),
        FieldSpec(name="parent", type="reference", reference="task"),
        FieldSpec(name="owner", type="reference", reference="person"),
    ),
)
INCIDENT = TableSpec(
    name="incident",
    extends="task",
    fields=(
        FieldSpec(name="state", choices=(Choice("1", "New"), Choice("2", "Working")), default="2"),
        FieldSpec(name="weight", type="integer"),
    ),
)
CHANGE = TableSpec(name="change", extends="task", fields=(FieldSpec(name="weight", type="string"),))
PERSON = TableSpec(name="person", fields=(FieldSpec(name="name"), FieldSpec(name="mail")))
OTHER_STATE = TableSpec(name="c", extends="task", fields=(FieldSpec(name="state", type="string"),))
ALL = (INCIDENT, CHANGE, TASK, PERSON)


def test_children_share_their_parents_fields_unless_they_override() -> None:
    dictionary = Dictionary.build(ALL)
    task, incident = dictionary.table("task"), dictionary.table("incident")
    assert incident.fields["number"] is task.fields["number"]
    assert incident.fields["state"].default == "2"
    assert incident.fields["state"].label_of("1") == "New"
    assert task.fields["state"].label_of("1") == "Open"
    assert incident.physical == "task"
    assert task.classes == ("task", "incident", "change")
    assert dictionary.is_a("change", "task")
    assert not dictionary.is_a("task", "change")
    assert incident.number == NumberFormat("TASK")


def test_siblings_that_disagree_about_a_column_get_one_each() -> None:
    dictionary = Dictionary.build(ALL)
    columns = {dictionary.field(name, "weight").column for name in ("incident", "change")}
    assert columns == {"weight", "weight__integer"}
    assert {
        Dictionary.build(reversed(ALL)).field(name, "weight").column
        for name in ("incident", "change")
    } == columns


def test_paths_walk_references() -> None:
    dictionary = Dictionary.build(ALL)
    path = dictionary.path("incident", "parent.owner.name")
    assert [step.name for step in path.steps] == ["parent", "owner", "name"]
    assert path.tables == ("incident", "task", "person")
    assert dictionary.find_path("task", "ref_incident.weight") is not None
    assert dictionary.find_path("incident", "number.name") is None


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ((TASK, TASK, PERSON), "twice"),
        ((TableSpec(name="a", extends="taks"), TASK, PERSON), "task"),
        ((TableSpec(name="a", extends="b"), TableSpec(name="b", extends="a")), "circle"),
        ((TASK, PERSON, OTHER_STATE), "another name"),
    ],
)
def test_wrong_definitions_say_what_is_wrong(specs: tuple[TableSpec, ...], words: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        Dictionary.build(specs)
    assert words in caught.value.explain()


def test_unknown_names_come_with_the_nearest() -> None:
    dictionary = Dictionary.build(ALL)
    with pytest.raises(InvalidTable) as table:
        dictionary.table("incidents")
    assert table.value.hint == "Did you mean 'incident'?"
    with pytest.raises(InvalidField) as field:
        dictionary.path("incident", "numbr")
    assert field.value.hint == "Did you mean 'number'?"


def as_database(specs: list[TableSpec]) -> Metadata:
    """Return the metadata rows the way a database would give them back."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    columns = {
        "sys_db_object": TABLE_COLUMNS,
        "sys_dictionary": FIELD_COLUMNS,
        "sys_dictionary_override": OVERRIDE_COLUMNS,
        "sys_choice": CHOICE_COLUMNS,
        "sys_number": NUMBER_COLUMNS,
    }
    numeric = {"max_length", "sequence", "maximum_digits", "number"}
    for table, _, values in rows_of(specs):
        row: list[Any] = []
        for name in columns[table]:
            text = values.get(name, "")
            if text in ("true", "false") and name not in ("default_value", "value", "label"):
                row.append(text == "true")
            else:
                row.append(int(text) if name in numeric and text else text or None)
        rows.setdefault(table, []).append(tuple(row))
    return Metadata(*(rows.get(table, []) for table in columns))


def described(dictionary: Dictionary) -> dict[str, Any]:
    return {
        table.name: (
            table.label, table.plural, table.parent, table.strategy, table.engine, table.audit,
            table.number, table.display, set(table.indexes), dict(table.fields),
        )
        for table in dictionary
    }  # fmt: skip


@pytest.mark.parametrize("source", ["example", "built-in"])
def test_metadata_records_say_everything_about_tables(source: str) -> None:
    specs = list(ALL) if source == "example" else [s for app in builtin_apps() for s in app.tables]
    again = Dictionary.build(specs_of(as_database(specs)))
    expected, found = described(Dictionary.build(specs)), described(again)
    for name, description in expected.items():
        assert found[name] == description, name
    assert found.keys() == expected.keys()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("boolean", "1", "true"),
        ("boolean", "False", "false"),
        ("integer", " 007 ", "7"),
        ("decimal", "1.50", "1.5"),
        ("decimal", "1E3", "1000"),
        ("glide_date_time", "2026-01-31T09:00:00+01:00", "2026-01-31 08:00:00"),
        ("glide_date_time", "2026-01-31", "2026-01-31 00:00:00"),
        ("glide_date_time", "0001-01-01 00:00:00", "0001-01-01 00:00:00"),
        ("glide_date", "2026-01-31 23:00:00", "2026-01-31"),
        ("glide_time", "10:11:12", "1970-01-01 10:11:12"),
        ("glide_time", "1970-01-01 10:11:12", "1970-01-01 10:11:12"),
        ("glide_duration", "1 04:14:21", "1970-01-02 04:14:21"),
        ("glide_duration", "1970-01-02 04:14:21", "1970-01-02 04:14:21"),
        ("timer", "00:02:17", "1970-01-01 00:02:17"),
        ("string", " kept ", " kept "),
        ("integer", "", ""),
    ],
)
def test_values_have_one_canonical_text(kind: str, text: str, expected: str) -> None:
    assert canonical(Field(name="f", label="F", type=kind), text) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "9" * 10_000_000),  # int() of it would take hours
        ("integer", "9223372036854775808"),
        ("decimal", "0." + "1" * 17_000),  # more than PostgreSQL keeps
        ("decimal", "1e61"),
        ("glide_date_time", "0001-01-01T00:00:00+14:00"),
        ("glide_date_time", "9999-12-31T23:59:59-12:00"),
        ("glide_date", "9999-12-31T23:59:59-12:00"),
        ("glide_time", "25:00:00"),
        ("glide_duration", "99999999 00:00:00"),
        ("glide_duration", "137"),
    ],
)
def test_what_no_database_could_keep_is_refused_with_the_expected_form(
    kind: str, text: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        canonical(Field(name="f", label="F", type=kind), text)
    assert f"Field f ({kind}) cannot hold" in caught.value.message
    assert (caught.value.hint or "").startswith("Expected ")


@given(
    st.sampled_from(
        ["integer", "decimal", "boolean", "glide_date", "glide_date_time", "glide_duration"]
    ),
    st.text(),
)
def test_canonical_texts_are_stable_and_all_else_is_refused(kind: str, text: str) -> None:
    field = Field(name="f", label="F", type=kind)
    if is_valid(field, text):
        once = canonical(field, text)
        assert canonical(field, once) == once
    else:
        with pytest.raises(InvalidValue) as caught:
            canonical(field, text)
        assert caught.value.hint is not None


@pytest.mark.parametrize(
    "module",
    [midspan.dictionary.fieldtype, midspan.dictionary.table, midspan.dictionary.values],
)
def test_examples_in_docstrings(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@given(st.data(), st.sampled_from(Strategy))
def test_what_did_not_change_is_taken_over_and_nothing_else(
    data: st.DataObject, strategy: Strategy
) -> None:
    before, after = (data.draw(families(strategy)) for _ in range(2))
    former = Dictionary.build(before)
    alone, changed = Dictionary.build(after), Dictionary.build(after, former)
    assert list(changed) == list(alone)
    assert changed.tables["u_plain"] is former.tables["u_plain"]
    again = Dictionary.build(after, changed)
    assert all(again.tables[name] is table for name, table in changed.tables.items())
