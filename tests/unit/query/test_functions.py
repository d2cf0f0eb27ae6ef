"""Functions of fields: what is said about those that cannot be used, and how large they may be."""

from __future__ import annotations

import pytest

from midspan.dictionary import Dictionary, FieldSpec, TableSpec
from midspan.kernel.errors import InvalidField, InvalidQuery, MidspanError
from midspan.query import (
    NEVER,
    Operator,
    Query,
    ReadOptions,
    ReadPlan,
    Term,
    Unknown,
    asks_who_or_when,
    parse,
    plan_read,
)
from midspan.query.computed import value_of
from midspan.query.functions import (
    DEEPEST,
    LONGEST_FUNCTION,
    MOST_PARTS,
    PREFIX,
    function_path,
    leaves,
)
from midspan.query.related import MOST_FUNCTIONS

DICTIONARY = Dictionary.build(
    [
        TableSpec(
            name="thing",
            fields=(
                FieldSpec(name="name", max_length=100),
                FieldSpec(name="size", type="integer"),
                FieldSpec(name="key", type="password2"),
                FieldSpec(name="load", type="payload"),
                FieldSpec(name="begun", type="glide_date_time"),
                FieldSpec(name="taken", type="glide_duration"),
                FieldSpec(name="parent", type="reference", reference="thing"),
            ),
        )
    ]
)


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("lenght(name)", "There is no function lenght", "Did you mean 'length'?"),
        ("exp()", "There is no function exp", "There are add, and, co"),
        ("length(now())", "The present is not known here", "Leave out now()."),
        ("compare(size,'like',3)", "compare got size (integer), the constant", "Expected compare("),
        ("length(nmae)", "Table thing has no field nmae", "Did you mean 'name'?"),
        ("length(name,size)", "length got 2 arguments", "Expected length(field)."),
        ("length(key)", "key (password2) cannot stand in a function", ""),
        ("length(load)", "load (payload) cannot stand in a function", ""),
        ("add(size,'two')", "add got size (integer), the constant 'two'", "Expected add(number"),
        ("datediff(begun,taken)", "datediff got begun (glide_date_time), taken", "Expected dated"),
        ("greatest(size,name)", "greatest got size (integer), name (string)", "Expected greatest"),
        ("dayofweek(begun,size)", "dayofweek got begun (glide_date_time), size", "Expected dayof"),
        ("length(name", "Cannot read the function", "Expected glidefunction:name(argument,...)"),
        ("length name", "Cannot read the function", "Expected glidefunction:name(argument,...)"),
        ("concat(name,,name)", "Cannot read the function", "Expected glidefunction:name(argument"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_was_expected(
    written: str, message: str, hint: str
) -> None:
    with pytest.raises(MidspanError) as caught:
        function_path(DICTIONARY, "thing", PREFIX + written)
    assert isinstance(caught.value, InvalidQuery | InvalidField)
    assert caught.value.message.startswith(message)
    assert (caught.value.hint or "").startswith(hint[:22])


def nested(depth: int) -> str:
    return PREFIX + "length(" * depth + "name" + ")" * depth


def wide(count: int) -> str:
    return f"{PREFIX}concat({','.join(['name'] * count)})"


def long(count: int) -> str:
    return f"{PREFIX}concat('{'x' * count}')"


@pytest.mark.parametrize(
    ("largest", "larger"),
    [
        (nested(DEEPEST), nested(DEEPEST + 1)),
        (wide(MOST_PARTS - 1), wide(MOST_PARTS)),
        (long(LONGEST_FUNCTION - 24), long(LONGEST_FUNCTION)),
    ],
)
def test_a_function_has_a_largest_size(largest: str, larger: str) -> None:
    assert function_path(DICTIONARY, "thing", largest).name == largest
    with pytest.raises(InvalidQuery):
        function_path(DICTIONARY, "thing", larger)


def test_a_function_looks_at_the_fields_inside_it() -> None:
    path = function_path(
        DICTIONARY, "thing", f"{PREFIX}concat(name,coalesce(parent.name,'x'),length(parent))"
    )
    assert [leaf.name for leaf in leaves(path)] == ["name", "parent.name", "parent"]


def test_a_query_leaves_out_what_cannot_be_used_or_refuses() -> None:
    query = parse("glidefunction:lenght(name)>3^ORDERBYglidefunction:length(nmae)")
    plan = plan_read(DICTIONARY, "thing", query)
    assert plan.warnings == (
        "Condition left out: There is no function lenght. Did you mean 'length'?",
        "Sort left out: Table thing has no field nmae. Did you mean 'name'?",
    )
    with pytest.raises(InvalidQuery, match="There is no function lenght"):
        plan_read(DICTIONARY, "thing", query, ReadOptions(unknown=Unknown.REFUSE))


def test_a_function_has_no_past_and_no_text_ends_inside_it() -> None:
    plan = plan_read(DICTIONARY, "thing", parse("glidefunction:length(name)VALCHANGES"))
    assert plan.warnings == ("Condition left out: glidefunction:length(name) has no past",)
    assert parse("glidefunction:length(name=3").invalid == ("glidefunction:length(name=3",)
    assert parse("glidefunction:length(name)").invalid == ("glidefunction:length(name)",)
    assert parse("ORDERBYglidefunction:length(name)x") == Query(
        invalid=("ORDERBYglidefunction:length(name)x",)
    )


def test_the_present_is_that_of_whoever_asks() -> None:
    term = Term("glidefunction:datediff(now(),begun)", Operator.GREATER, "1970-01-02 00:00:00")
    assert asks_who_or_when(term)
    assert not asks_who_or_when(Term("glidefunction:length(name)", Operator.GREATER, "3"))
    path = function_path(DICTIONARY, "thing", term.field, "2026-01-31 08:00:00")
    assert value_of(path, lambda leaf: "2026-01-30 07:00:00") == "1970-01-02 01:00:00"


def test_a_query_has_so_many_functions_and_finds_nothing_with_more() -> None:
    def planned(count: int) -> ReadPlan:
        text = "^".join(["glidefunction:length(name)>3"] * count)
        return plan_read(DICTIONARY, "thing", parse(text))

    assert planned(MOST_FUNCTIONS).condition != NEVER
    plan = planned(MOST_FUNCTIONS + 1)
    assert plan.condition == NEVER
    assert plan.warnings == ("Condition left out: More than 50 functions of fields",)
