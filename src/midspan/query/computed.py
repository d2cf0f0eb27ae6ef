"""What functions of fields yield: the definition that the evaluator and both dialects follow.

Values are wire texts or None, for the empty value. Where one argument is empty the result is, as
in SQL; only ``coalesce`` goes on to the next, and ``and`` and ``or`` may be decided by others.
Arithmetic is exact; a quotient has four decimals.
"""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import reduce
from typing import Any

from midspan.dictionary import Field, FieldPath
from midspan.query.comparison import comparison_key, fold
from midspan.query.functions import SIGNS, Computed, Constant, Part

Getter = Callable[[FieldPath], str]
"""Returns the canonical wire text at a path; ``''`` when it is empty or leads nowhere."""
Text = str | None
MONDAY_FIRST = "2"
"""The constant of ``dayofweek`` with which Monday is 1; with any other Sunday is."""
_EXACT = Context(prec=20_000)
_START = datetime(1970, 1, 1, tzinfo=UTC)
_FOUR = Decimal("0.0001")


def value_of(path: FieldPath, get: Getter) -> str:
    """Return the wire text at a path, or that of a function of values that ``get`` returns."""
    return get(path) if not isinstance(path, Computed) else _part(path, get) or ""


def _part(part: Part, get: Getter) -> Text:
    if isinstance(part, Constant):
        return part.text
    if not isinstance(part, Computed):
        return get(part) or None
    values = [_part(argument, get) for argument in part.arguments]
    return compute(part.function, part.field.type, *values)


def compute(function: str, kind: str, *values: Text) -> Text:
    """Return what a function yields whose result is of the type ``kind``.

    >>> compute("position", "integer", "E", "This computer is performing an upgrade", "14")
    '19'
    >>> compute("datediff", "glide_duration", "2026-01-02 01:00:00", "2026-01-01")
    '1970-01-02 01:00:00'
    """
    if function in ("and", "or"):
        return _joined(values, decides="false" if function == "and" else "true")
    if function == "coalesce":
        return next((value for value in values if value is not None), None)
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return _COMPUTE[function](known, kind)


def _joined(values: Sequence[Text], *, decides: str) -> Text:
    """One value decides whatever the others are; else one that is not known leaves it open."""
    if decides in values:
        return decides
    return None if None in values else values[0]


def _compared(values: Sequence[str], _: str) -> Text:
    sign, kind, *texts = values
    field = Field(name="value", label="", type=kind)
    first, second = (comparison_key(field, text) for text in texts)
    return "true" if _SIGNS[sign](first, second) else "false"


_SIGNS: dict[str, Callable[[Any, Any], bool]] = dict(
    zip(SIGNS, (python.eq, python.lt, python.gt, python.le, python.ge), strict=True)
)


def _number(number: Decimal) -> str:
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _arithmetic(
    operation: Callable[[Decimal, Decimal], Decimal],
) -> Callable[[Sequence[str], str], Text]:
    return lambda values, _: _number(reduce(operation, map(Decimal, values)))


def _divided(values: Sequence[str], _: str) -> Text:
    first, second = map(Decimal, values)
    if not second:
        return None
    quotient = _EXACT.divide(first, second)
    return _number(quotient.quantize(_FOUR, ROUND_HALF_UP, _EXACT))


def _extreme(choose: Callable[..., str]) -> Callable[[Sequence[str], str], Text]:
    def extreme(values: Sequence[str], kind: str) -> Text:
        field = Field(name="value", label="", type=kind)
        return choose(values, key=lambda text: comparison_key(field, text))

    return extreme


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _distance(values: Sequence[str], _: str) -> Text:
    """A distance that no duration can hold is empty."""
    first, second = map(_moment, values)
    try:
        return f"{_START + (first - second):%Y-%m-%d %H:%M:%S}".rjust(19, "0")
    except OverflowError:
        return None


def _weekday(values: Sequence[str], _: str) -> Text:
    day = _moment(values[0]).isoweekday()
    return str(day if values[1:] == [MONDAY_FIRST] else day % 7 + 1)


def _position(values: Sequence[str], _: str) -> Text:
    """Letters are folded; from a start before the first character nothing is found."""
    term, text = map(fold, values[:2])
    start = int(values[2]) if len(values) > 2 else 1
    if not term or start < 1:
        return "0"
    return str(text.find(term, start - 1) + 1)


def _substring(values: Sequence[str], _: str) -> Text:
    """Characters count from 1; those that would stand before the first count, too."""
    text, start = values[0], int(values[1])
    end = start + int(values[2]) if len(values) > 2 else len(text) + 1
    return text[max(start, 1) - 1 : max(end, 1) - 1]


_COMPUTE: dict[str, Callable[[Sequence[str], str], Text]] = {
    "add": _arithmetic(_EXACT.add),
    "subtract": _arithmetic(_EXACT.subtract),
    "multiply": _arithmetic(_EXACT.multiply),
    "divide": _divided,
    "compare": _compared,
    "concat": lambda values, _: "".join(values),
    "greatest": _extreme(max),
    "least": _extreme(min),
    "datediff": _distance,
    "dayofweek": _weekday,
    "length": lambda values, _: str(len(values[0])),
    "position": _position,
    "substring": _substring,
}
