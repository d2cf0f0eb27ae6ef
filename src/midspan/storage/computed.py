"""Functions of fields in SQL; ``midspan.query.computed`` defines what they yield. Pure.

SQLite calls that definition itself. PostgreSQL says the same in its own words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from midspan.dictionary import Field, Storage
from midspan.query.computed import MONDAY_FIRST
from midspan.query.functions import Computed, Constant

if TYPE_CHECKING:
    from midspan.storage.dialect import Dialect

Argument: TypeAlias = tuple[str, Field]
"""The SQL of a stored value, and the field that it is one of."""


def computed_column(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    """Return the SQL of a function as a stored value of its type; a nested one may be ``''``."""
    make = _sqlite if dialect.name == "sqlite" else _POSTGRES[path.function]
    return make(path, dialect, arguments)


def whole(sql: str, field: Field) -> str:
    """Return a function that is not inside another; the empty text is no value."""
    return f"NULLIF({sql}, '')" if field.storage is Storage.TEXT else sql


def constant(part: Constant, dialect: Dialect) -> Argument:
    """Return a constant; in digits, so that whatever it holds stays outside the SQL."""
    field = Field(name="constant", label="", type=part.type)
    if field.storage is Storage.BOOLEAN:
        return f"(1 = {int(part.text == 'true')})", field
    digits = part.text.encode().hex()
    if dialect.name == "sqlite":
        return f"CAST(X'{digits}' AS TEXT)", field
    text = f"convert_from(decode('{digits}', 'hex'), 'UTF8')"
    cast = {Storage.DECIMAL: "numeric", Storage.DATETIME: "timestamp", Storage.DATE: "date"}
    kind = cast.get(field.storage)
    return (f"CAST({text} AS {kind})" if kind else text), field


def _sqlite(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    texts = [dialect.read(sql, field.storage) for sql, field in arguments]
    given = ", ".join((dialect.literal(path.field.type), *texts))
    sql = f"glide_{path.function}({given})"
    if path.field.storage is Storage.INTEGER:
        return f"CAST({sql} AS INTEGER)"
    return f"({sql} = 'true')" if path.field.storage is Storage.BOOLEAN else sql


# PostgreSQL


def _text(dialect: Dialect, argument: Argument) -> str:
    sql, field = argument
    return f"({dialect.read(sql, field.storage)})"


def _number(argument: Argument) -> str:
    return f"CAST({argument[0]} AS numeric)"


def _joined(sign: str) -> _Maker:
    def make(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
        return f"({sign.join(map(_number, arguments))})"

    return make


def _divided(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    first, second = map(_number, arguments)
    # The added zeros give the quotient 20 decimals; by itself it stops at 16 digits.
    return f"round(({first} + 0.00000000000000000000) / NULLIF({second}, 0), 4)"


def _concatenated(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    return f"({' || '.join(_text(dialect, one) for one in arguments)})"


def _alike(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> list[str]:
    if path.field.storage is Storage.TEXT:
        return [f'({_text(dialect, one)} COLLATE "C")' for one in arguments]
    if path.field.storage is Storage.DECIMAL:
        return list(map(_number, arguments))
    return [sql for sql, _ in arguments]


def _first(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    return f"COALESCE({', '.join(_alike(path, dialect, arguments))})"


def _extreme(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    """Of texts that fold to the same the first counts."""
    values = _alike(path, dialect, arguments)
    rows = ", ".join(f"({place}, {value})" for place, value in enumerate(values))
    value = "one.value"
    key = dialect.comparable(value, path.field)
    falling = " DESC" if path.function == "greatest" else ""
    found = f"SELECT {value} FROM (VALUES {rows}) AS one (place, value)"  # noqa: S608
    missing = " OR ".join(f"{each} IS NULL" for each in values)
    return (
        f"(CASE WHEN NOT ({missing}) THEN ({found} ORDER BY {key}{falling}, one.place LIMIT 1) END)"
    )


def _compared(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    (sign, _), (kind, _), *values = zip(path.arguments, arguments, strict=True)
    if not isinstance(sign, Constant) or not isinstance(kind, Constant):
        raise TypeError(f"{path.name} is not as function_path makes it")
    field = Field(name="value", label="", type=kind.text)
    texts = field.storage is Storage.TEXT
    first, second = (
        dialect.comparable(_text(dialect, one), field)
        if texts
        else (_number(one) if field.storage is Storage.DECIMAL else one[0])
        for _, one in values
    )
    return f"({first} {sign.text} {second})"


def _connected(word: str) -> _Maker:
    def make(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
        return f"({word.join(sql for sql, _ in arguments)})"

    return make


def _distance(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    first, second = (f"EXTRACT(EPOCH FROM CAST({sql} AS timestamp))" for sql, _ in arguments)
    seconds = f"CAST({first} - {second} AS bigint)"
    held = f"{seconds} BETWEEN -62135596800 AND 253402300799"
    made = f"timestamp '1970-01-01 00:00:00' + make_interval(secs => {seconds})"
    return f"(CASE WHEN {held} THEN {made} END)"


def _weekday(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    day = arguments[0][0]
    chosen = path.arguments[1:]
    if chosen and isinstance(chosen[0], Constant) and chosen[0].text == MONDAY_FIRST:
        return f"CAST(EXTRACT(ISODOW FROM {day}) AS bigint)"
    return f"CAST(EXTRACT(DOW FROM {day}) + 1 AS bigint)"


def _length(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    return f"CAST(char_length({_text(dialect, arguments[0])}) AS bigint)"


def _position(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    term, text = (dialect.fold(_text(dialect, one)) for one in arguments[:2])
    start = _whole(path, 2, 1)
    if start < 1:
        return f"(CASE WHEN {term} IS NOT NULL AND {text} IS NOT NULL THEN CAST(0 AS bigint) END)"
    found = f"strpos(substr({text}, {start}), {term})"
    at = f"CASE WHEN {term} = '' OR {found} = 0 THEN 0 ELSE {found} + {start - 1} END"
    return f"(CASE WHEN {term} IS NOT NULL AND {text} IS NOT NULL THEN CAST({at} AS bigint) END)"


def _substring(path: Computed, dialect: Dialect, arguments: Sequence[Argument]) -> str:
    count = f", {_whole(path, 2, 0)}" if len(path.arguments) > 2 else ""
    return f"substr({_text(dialect, arguments[0])}, {_whole(path, 1, 1)}{count})"


def _whole(path: Computed, place: int, otherwise: int) -> int:
    part = path.arguments[place] if place < len(path.arguments) else None
    return int(part.text) if isinstance(part, Constant) else otherwise


_Maker: TypeAlias = "Callable[[Computed, Dialect, Sequence[Argument]], str]"
_POSTGRES: dict[str, _Maker] = {
    "add": _joined(" + "),
    "subtract": _joined(" - "),
    "multiply": _joined(" * "),
    "divide": _divided,
    "compare": _compared,
    "and": _connected(" AND "),
    "or": _connected(" OR "),
    "concat": _concatenated,
    "coalesce": _first,
    "greatest": _extreme,
    "least": _extreme,
    "datediff": _distance,
    "dayofweek": _weekday,
    "length": _length,
    "position": _position,
    "substring": _substring,
}
