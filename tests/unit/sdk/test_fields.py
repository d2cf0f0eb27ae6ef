"""One struct type gives form, schema and pills."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest

from midspan_sdk import InputField, Meta, Struct, field, fields_of, schema_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(Struct, frozen=True):
    size: int
    inner: Part | None = None


class Everything(Struct, frozen=True):
    title: Annotated[str, Meta(title="Heading", description="Shown first", max_length=40)]
    count: int
    ratio: float
    price: Decimal
    active: bool
    when: datetime
    level: Literal["low", "high"]
    colour: Colour
    part: Part
    parts: list[Part]
    loose: list[Any]
    either: dict[str, Any] | list[Any]
    anything: Any
    names: tuple[str, ...] = ()
    note: Annotated[Annotated[str, Meta(max_length=9)] | None, Meta(description="Optional")] = None
    extra: dict[str, str] = field(default_factory=dict)


BY_NAME = {each.name: each for each in fields_of(Everything)}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("title", "string"),
        ("count", "integer"),
        ("ratio", "decimal"),
        ("price", "decimal"),
        ("active", "boolean"),
        ("when", "datetime"),
        ("level", "choice"),
        ("colour", "choice"),
        ("part", "object"),
        ("parts", "array.object"),
        ("loose", "array.object"),
        ("either", "object"),
        ("anything", "json"),
        ("names", "array.string"),
        ("note", "string"),
        ("extra", "object"),
    ],
)
def test_type_words(name: str, kind: str) -> None:
    assert BY_NAME[name].type == kind


def test_order_is_the_order_of_writing() -> None:
    assert list(BY_NAME) == list(Everything.__struct_fields__)


def test_metadata_reaches_the_field() -> None:
    assert BY_NAME["title"] == InputField(
        name="title",
        title="Heading",
        type="string",
        description="Shown first",
        required=True,
        max_length=40,
    )
    note = BY_NAME["note"]
    assert (note.required, note.nullable, note.max_length, note.description) == (
        False,
        True,
        9,
        "Optional",
    )
    assert BY_NAME["extra"].default == {}
    assert BY_NAME["level"].choices == ("high", "low") or BY_NAME["level"].choices == (
        "low",
        "high",
    )
    assert BY_NAME["colour"].choices == ("red", "blue")


def test_members_of_objects_and_a_type_that_holds_itself() -> None:
    assert [each.name for each in BY_NAME["part"].fields] == ["size", "inner"]
    assert BY_NAME["part"].fields[1].fields == ()
    assert [each.name for each in BY_NAME["parts"].fields] == ["size", "inner"]


def test_a_type_no_flow_can_hold_is_named() -> None:
    class Wrong(Struct):
        blob: bytes

    with pytest.raises(TypeError, match=r"Wrong\.blob: a flow cannot hold a Bytes value"):
        fields_of(Wrong)


def test_schema_has_the_same_fields() -> None:
    schema = schema_of(Everything)
    properties = schema["$defs"]["Everything"]["properties"]
    assert set(properties) == set(BY_NAME)
    assert properties["title"]["maxLength"] == 40
