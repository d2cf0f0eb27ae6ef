"""How values compare: the one definition that the evaluator and both SQL dialects follow."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from midspan.dictionary import FIELD_TYPES, Field, Storage

Key: TypeAlias = str | int | Decimal

_EXACT = frozenset({"GUID", "sys_id", "document_id", "sys_class_name", "char"})
_UNFOLDED = _EXACT | {
    kind.name for kind in FIELD_TYPES.values() if kind.reference or kind.storage is not Storage.TEXT
}


def fold(text: str) -> str:
    """Return the form in which texts compare, sort and match: Unicode lower case.

    SQLite gets this very function; PostgreSQL lowers by the same rules of Unicode and differs only
    in letters that one side's Unicode version does not have yet (decision record 0002).

    >>> fold("STRASSE ÄÖ İ")
    'strasse äö i̇'
    """
    return text.lower()


def is_exact(field: Field) -> bool:
    """Tell whether texts of ``field`` compare letter by letter: ids, references, classes."""
    return field.kind.reference or field.type in _EXACT


def is_folded(field: Field) -> bool:
    """Tell whether values of ``field`` are folded before they are compared or sorted."""
    return field.type not in _UNFOLDED


def comparison_key(field: Field, text: str) -> Key:
    """Return what a canonical, non-empty wire text is compared and sorted by."""
    convert = _KEYS.get(field.storage)
    if convert is not None:
        return convert(text)
    return fold(text) if is_folded(field) else text


class Measure(StrEnum):
    """As what the values of two fields are compared with each other."""

    VALUES = "values"
    """As each field compares with itself."""
    NUMBERS = "numbers"
    TEXTS = "folded wire texts"


def measure(first: Field, second: Field) -> Measure:
    """Return as what two fields compare.

    >>> whole, part = (Field(name="a", label="A", type=kind) for kind in ("integer", "decimal"))
    >>> print(measure(whole, whole), measure(whole, part), sep=", ")
    values, numbers
    """
    if first.storage is second.storage and is_folded(first) is is_folded(second):
        return Measure.VALUES
    if first.storage in NUMERIC and second.storage in NUMERIC:
        return Measure.NUMBERS
    return Measure.TEXTS


def in_one_order(first: Field, second: Field) -> bool:
    """Tell whether the values of two fields have an order among each other."""
    return any(
        first.storage in kinds and second.storage in kinds
        for kinds in (NUMERIC, DATED, {Storage.TEXT}, {Storage.BOOLEAN})
    )


def measured(how: Measure, field: Field, text: str) -> Key:
    """Return what a canonical, non-empty wire text is compared by."""
    if how is Measure.VALUES:
        return comparison_key(field, text)
    return Decimal(text) if how is Measure.NUMBERS else fold(text)


NUMERIC = frozenset({Storage.INTEGER, Storage.DECIMAL})
DATED = frozenset({Storage.DATETIME, Storage.DATE})
_KEYS: dict[Storage, Callable[[str], Key]] = {Storage.INTEGER: int, Storage.DECIMAL: Decimal}
