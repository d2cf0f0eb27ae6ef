"""Conditions tested on values in memory."""

from __future__ import annotations

import pytest

from midspan.dictionary import Dictionary, FieldPath, FieldSpec, TableSpec
from midspan.query import awaited_changes, evaluate, parse, resolve_condition

DICTIONARY = Dictionary.build(
    [
        TableSpec(
            name="thing",
            fields=(
                FieldSpec(name="name"),
                FieldSpec(name="nick"),
                FieldSpec(name="size", type="integer"),
                FieldSpec(name="price", type="decimal"),
                FieldSpec(name="flag", type="boolean"),
            ),
        )
    ]
)


def holds(text: str, before: dict[str, str] | None = None, **values: str) -> bool:
    condition, warnings = resolve_condition(DICTIONARY, "thing", parse(text).condition)
    assert not warnings

    def get(path: FieldPath) -> str:
        return values.get(path.name, "")

    if before is None:
        return evaluate(condition, get)
    return evaluate(condition, get, lambda path: before.get(path.name, ""))


def test_text_ignores_case_and_numbers_do_not_compare_as_text() -> None:
    assert holds("name=ÄPFEL", name="äpfel")
    assert holds("size>9", size="10")
    assert holds("price=1.50", price="1.5")
    assert holds("sizeLIKE1", size="210")
    assert not holds("name=a", name="á")


@pytest.mark.parametrize("text", ["name!=x", "nameNOT INx,y", "nameNOT LIKEx", "nameISEMPTY"])
def test_empty_values_match_what_is_negative(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("text", ["size<1", "sizeBETWEEN-1@1", "nameLIKEx", "nameISNOTEMPTY"])
def test_empty_values_match_nothing_else(text: str) -> None:
    assert not holds(text)


def test_two_fields() -> None:
    assert holds("nameSAMEASnick", name="A", nick="a")
    assert holds("nameSAMEASnick")
    assert holds("nameNSAMEASnick", name="A")
    assert holds("nameSAMEASsize", name="7", size="7")


def test_change_operators_compare_with_the_values_before() -> None:
    old = {"size": "1", "name": "a"}
    assert holds("sizeVALCHANGES", old, size="2")
    assert not holds("sizeVALCHANGES", old, size="1")
    assert holds("sizeCHANGESFROM1^sizeCHANGESTO02", old, size="2")
    assert not holds("sizeCHANGESTO2", {"size": "2"}, size="2")
    assert not holds("sizeCHANGESFROM3", old, size="2")
    assert holds("sizeCHANGESTO", old)
    assert holds("nameVALCHANGES", old, name="A")
    assert holds("sizeVALCHANGES", size="1")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("nameVALCHANGES", {"name"}),
        ("flag=true^sizeCHANGESTO2", {"size"}),
        ("sizeCHANGESFROM1^ORnameCHANGESTOx", {"size", "name"}),
        ("nameVALCHANGES^NQflag=true^sizeCHANGESTO2", {"name", "size"}),
        ("sizeCHANGESTO2^ORflag=true", None),
        ("nameISEMPTY", None),
        ("", None),
    ],
)
def test_what_has_to_change_for_a_condition_to_hold(text: str, names: set[str] | None) -> None:
    condition, _ = resolve_condition(DICTIONARY, "thing", parse(text).condition)
    assert awaited_changes(condition) == names
    same = {"name": "x", "size": "2", "flag": "true"}
    assert holds(text, same, **same) is (names is None and text != "nameISEMPTY")


def test_an_unresolved_condition_is_an_error() -> None:
    with pytest.raises(TypeError, match="resolve_condition"):
        evaluate(parse("name=x").condition, lambda path: "")
