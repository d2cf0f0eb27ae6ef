"""What SQLite and PostgreSQL say differently: types, values, folding, matching, order.

Decided in ``docs/decisions/0002-storage-types.md``. SQL text uses ``?`` for parameters in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Protocol, TypeAlias

import orjson

from midspan.dictionary import Field, Storage
from midspan.query import Operator
from midspan.query.comparison import is_folded
from midspan.query.regex import LONGEST_TEXT, postgresql
from midspan.query.wildcard import like

Value: TypeAlias = str | int | bool | Decimal | list[str] | None
"""What a parameter may be."""


class Dialect(Protocol):
    """One database's words. Expressions go in and come out as SQL text; all methods are pure."""

    @property
    def name(self) -> str:
        """``sqlite`` or ``postgresql``."""
        ...

    def quote(self, identifier: str) -> str:
        """Return a quoted identifier."""
        ...

    def literal(self, text: str) -> str:
        """Return a text literal; only for names from the dictionary."""
        ...

    def column_type(self, storage: Storage, max_length: int | None = None) -> str:
        """Return the column type of a storage; lengths are checked above, not by the database."""
        ...

    def index_term(self, expression: str) -> str:
        """Return an index entry that also serves ``order``."""
        ...

    def null(self, storage: Storage) -> str:
        """Return a typed NULL, for the branches of a union."""
        ...

    def bind(self, storage: Storage, text: str | None) -> Value:
        """Return the parameter for a canonical wire text; the empty value is None."""
        ...

    def read(self, expression: str, storage: Storage) -> str:
        """Return SQL that yields the canonical wire text, or NULL for the empty value."""
        ...

    def fold(self, expression: str) -> str:
        """Return SQL for the folded text, comparing by code points."""
        ...

    def comparable(self, expression: str, field: Field) -> str:
        """Return what is compared, sorted and indexed for a column of ``field``."""
        ...

    def order(self, expression: str, *, descending: bool) -> str:
        """Return a sort term; NULLs come first ascending, last descending."""
        ...

    def match(self, operator: Operator, text: str) -> str:
        """Return a test of a text expression for one of CONTAINS, STARTS_WITH, ENDS_WITH, MATCHES
        and MATCHES_REGEX.

        Takes the parameters that ``pattern`` returns.
        """
        ...

    def pattern(self, operator: Operator, value: str) -> tuple[Value, ...]:
        """Return the parameters of ``match``; every character of ``value`` is literal, but for
        those that mean something in a pattern or a regular expression."""
        ...

    def listed(self, field: Field) -> str:
        """Return a sub-query with the values of one list parameter, made by ``list_value``."""
        ...

    def list_value(self, storage: Storage, texts: Sequence[str]) -> Value:
        """Return the one parameter that carries a long list of canonical texts."""
        ...

    def same(self, first: str, second: str) -> str:
        """Return an equality that also holds for two NULLs."""
        ...

    def missing(self, expression: str, select: str) -> str:
        """Return a test for a value that is NULL or not among those a sub-query selects."""
        ...

    def common(self, test: str) -> str:
        """Return a test, telling the planner that it holds for a good part of all rows."""
        ...

    def moved(self, expression: str, unit: str, count: int) -> str:
        """Return a date-time some units later; a month without that day ends earlier."""
        ...

    def local(self, expression: str, zone: str) -> str:
        """Return what clocks of a time zone show at a date-time of UTC."""
        ...

    def midnight(self, expression: str) -> str:
        """Return the beginning of a day as a date-time."""
        ...

    def part(self, expression: str, part: str) -> str:
        """Return a part of a date-time as a number, as ``midspan.formats.periods.part_of`` does."""
        ...

    def truncated(self, expression: str, unit: str) -> str:
        """Return the beginning of the day, week, month.. that a date-time is in."""
        ...

    def page(self, limit: int | None, offset: int) -> tuple[str, tuple[int, ...]]:
        """Return the ending of a query for one page, and its parameters."""
        ...

    def total(self, function: str, expression: str, storage: Storage) -> str:
        """Return the wire text of SUM (exact) or AVG (four decimals, halves away from zero)."""
        ...

    def seconds(self, expression: str) -> str:
        """Return how many seconds after the start of 1970 a date-time is."""
        ...

    def extreme(self, function: str, expression: str) -> str:
        """Return MIN or MAX of texts in folded order; of several alike, by code points."""
        ...

    def number(self, expression: str) -> str:
        """Return what is compared and sorted for an expression that yields a number's wire text.

        Its parameters are those of ``Storage.DECIMAL``.
        """
        ...


@dataclass(frozen=True)
class SqliteDialect:
    """SQLite; its connections need ``register_functions``."""

    name: str = "sqlite"

    def quote(self, identifier: str) -> str:
        return _quote(identifier)

    def literal(self, text: str) -> str:
        return _literal(text)

    def column_type(self, storage: Storage, max_length: int | None = None) -> str:
        return _SQLITE_TYPES[storage]

    def index_term(self, expression: str) -> str:
        return expression

    def null(self, storage: Storage) -> str:
        return "NULL"

    def bind(self, storage: Storage, text: str | None) -> Value:
        if text is None or text == "":
            return None
        if storage is Storage.INTEGER:
            return int(text)
        return int(text == "true") if storage is Storage.BOOLEAN else text

    def read(self, expression: str, storage: Storage) -> str:
        if storage is Storage.INTEGER:
            return f"CAST({expression} AS TEXT)"
        if storage is Storage.BOOLEAN:
            return f"CASE {expression} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"
        return expression

    def fold(self, expression: str) -> str:
        return f"fold({expression})"

    def comparable(self, expression: str, field: Field) -> str:
        if is_folded(field):
            return f"fold({expression})"
        if field.storage is Storage.DECIMAL:
            return f"{expression} COLLATE midspan_decimal"
        return expression

    def order(self, expression: str, *, descending: bool) -> str:
        return f"{expression} DESC" if descending else expression

    def match(self, operator: Operator, text: str) -> str:
        # LIKE refuses patterns over 50,000 bytes and cannot use an index on an expression.
        if operator is Operator.CONTAINS:
            return f"instr(fold({text}), fold(?)) > 0"
        if operator is Operator.MATCHES:
            return f"matches(fold(?), fold({text}))"
        if operator is Operator.MATCHES_REGEX:
            return f"matches_regex(?, fold({text}))"
        if operator is Operator.ENDS_WITH:
            return f"substr(fold({text}), -length(fold(?))) = fold(?)"
        # No UTF-8 text holds the byte FF, so this range is exactly the texts with the prefix.
        return f"(fold({text}) >= fold(?) AND fold({text}) < fold(?) || CAST(x'FF' AS TEXT))"

    def pattern(self, operator: Operator, value: str) -> tuple[Value, ...]:
        once = operator in (Operator.CONTAINS, Operator.MATCHES, Operator.MATCHES_REGEX)
        return (value,) if once else (value, value)

    def listed(self, field: Field) -> str:
        value = "fold(value)" if is_folded(field) else "value"
        return f"SELECT {value} FROM json_each(?)"  # noqa: S608 - no input in it

    def list_value(self, storage: Storage, texts: Sequence[str]) -> Value:
        return orjson.dumps([self.bind(storage, text) for text in texts]).decode()

    def same(self, first: str, second: str) -> str:
        return f"{first} IS {second}"

    def missing(self, expression: str, select: str) -> str:
        return f"({expression} IS NULL OR {expression} NOT IN ({select}))"

    def common(self, test: str) -> str:
        # Without statistics an equality counts as rare, and the class of a row would be looked up
        # rather than its caller or a span of dates.
        return f"likelihood({test}, 0.3)"

    def moved(self, expression: str, unit: str, count: int) -> str:
        return f"date_moved({expression}, {_literal(unit)}, {count:d})"

    def local(self, expression: str, zone: str) -> str:
        return f"date_local({expression}, {_literal(zone)})"

    def midnight(self, expression: str) -> str:
        return f"{expression} || ' 00:00:00'"

    def part(self, expression: str, part: str) -> str:
        return f"date_part({expression}, {_literal(part)})"

    def truncated(self, expression: str, unit: str) -> str:
        return f"date_truncated({expression}, {_literal(unit)})"

    def page(self, limit: int | None, offset: int) -> tuple[str, tuple[int, ...]]:
        if limit is None and not offset:
            return "", ()
        return " LIMIT ? OFFSET ?", (-1 if limit is None else limit, offset)

    def total(self, function: str, expression: str, storage: Storage) -> str:
        return f"decimal_{function.lower()}({expression})"

    def seconds(self, expression: str) -> str:
        return f"CAST(strftime('%s', {expression}) AS INTEGER)"

    def extreme(self, function: str, expression: str) -> str:
        return f"fold_{function.lower()}({expression})"

    def number(self, expression: str) -> str:
        return f"{expression} COLLATE midspan_decimal"


@dataclass(frozen=True)
class PostgresDialect:
    """PostgreSQL 14 or newer, encoding UTF-8; its databases need ``POSTGRESQL_SETUP`` once."""

    name: str = "postgresql"

    def quote(self, identifier: str) -> str:
        return _quote(identifier)

    def literal(self, text: str) -> str:
        return _literal(text)

    def column_type(self, storage: Storage, max_length: int | None = None) -> str:
        return _POSTGRES_TYPES[storage]

    def index_term(self, expression: str) -> str:
        return f"{expression} NULLS FIRST"

    def null(self, storage: Storage) -> str:
        return f"CAST(NULL AS {_POSTGRES_TYPES[storage].split(' COLLATE')[0]})"

    def bind(self, storage: Storage, text: str | None) -> Value:
        if text is None or text == "":
            return None
        if storage is Storage.INTEGER:
            return int(text)
        if storage is Storage.DECIMAL:
            return Decimal(text)
        return text == "true" if storage is Storage.BOOLEAN else text

    def read(self, expression: str, storage: Storage) -> str:
        return _POSTGRES_READ[storage].format(expression)

    def fold(self, expression: str) -> str:
        # In brackets, because the bounds of BETWEEN may not hold COLLATE without them.
        return f'(lower({expression} COLLATE midspan_fold) COLLATE "C")'

    def comparable(self, expression: str, field: Field) -> str:
        return self.fold(expression) if is_folded(field) else expression

    def order(self, expression: str, *, descending: bool) -> str:
        return f"{expression} {'DESC NULLS LAST' if descending else 'NULLS FIRST'}"

    def match(self, operator: Operator, text: str) -> str:
        if operator is Operator.MATCHES_REGEX:
            # The order of tests joined by AND would be the database's to choose.
            short = f"char_length({self.fold(text)}) <= {LONGEST_TEXT}"
            return f"CASE WHEN {short} THEN {self.fold(text)} ~ ? END"
        return f"{self.fold(text)} LIKE {self.fold('?')}"

    def pattern(self, operator: Operator, value: str) -> tuple[Value, ...]:
        # The backslash is LIKE's escape character unless a statement names another.
        if operator is Operator.MATCHES:
            return (like(value),)
        if operator is Operator.MATCHES_REGEX:
            return (postgresql(value),)
        escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        before = "" if operator is Operator.STARTS_WITH else "%"
        after = "" if operator is Operator.ENDS_WITH else "%"
        return (f"{before}{escaped}{after}",)

    def listed(self, field: Field) -> str:
        value = f"CAST(item AS {_POSTGRES_TYPES[field.storage].split(' COLLATE')[0]})"
        chosen = self.fold("item") if is_folded(field) else value
        return f"SELECT {chosen} FROM unnest(CAST(? AS text[])) AS item"  # noqa: S608 - no input

    def list_value(self, storage: Storage, texts: Sequence[str]) -> Value:
        return list(texts)

    def same(self, first: str, second: str) -> str:
        return f"{first} IS NOT DISTINCT FROM {second}"

    def missing(self, expression: str, select: str) -> str:
        # It never turns NOT IN into a join, and a list too long to hash is gone through each time.
        named = f"({select}) AS related (value)"
        return f"NOT EXISTS (SELECT 1 FROM {named} WHERE related.value = {expression})"  # noqa: S608

    def common(self, test: str) -> str:
        return test  # It keeps statistics by itself.

    def moved(self, expression: str, unit: str, count: int) -> str:
        part, factor = _INTERVALS[unit]
        return f"{expression} + make_interval({part} => {count * factor:d})"

    def local(self, expression: str, zone: str) -> str:
        return f"({expression} AT TIME ZONE 'UTC' AT TIME ZONE {_literal(zone)})"

    def midnight(self, expression: str) -> str:
        return f"CAST({expression} AS timestamp)"

    def part(self, expression: str, part: str) -> str:
        if part == "week":
            day = f"EXTRACT(DOY FROM {expression}) + 6 - EXTRACT(DOW FROM {expression})"
            return f"floor(({day}) / 7)"
        return f"EXTRACT({_PARTS.get(part, part)} FROM {expression})"

    def truncated(self, expression: str, unit: str) -> str:
        return f"date_trunc({_literal(unit)}, {expression})"

    def page(self, limit: int | None, offset: int) -> tuple[str, tuple[int, ...]]:
        if limit is None:
            return (" OFFSET ?", (offset,)) if offset else ("", ())
        return " LIMIT ? OFFSET ?", (limit, offset)

    def total(self, function: str, expression: str, storage: Storage) -> str:
        total = f"SUM({expression})"
        if function == "AVG":
            # Its own AVG stops at 16 digits; the added zeros give the quotient 20 decimals.
            total = f"round(({total} + 0.00000000000000000000) / COUNT({expression}), 4)"
        return f"trim_scale({total})::text"

    def seconds(self, expression: str) -> str:
        return f"CAST(EXTRACT(EPOCH FROM {expression}) AS bigint)"

    def extreme(self, function: str, expression: str) -> str:
        falling = " DESC" if function == "MAX" else ""
        order = f"{self.fold(expression)}{falling}, {expression}{falling}"
        return (
            f"(array_agg({expression} ORDER BY {order}) FILTER (WHERE {expression} IS NOT NULL))[1]"
        )

    def number(self, expression: str) -> str:
        return f"CAST({expression} AS numeric)"


POSTGRESQL_SETUP = """
DO $$
BEGIN
  IF to_regcollation('midspan_fold') IS NULL THEN
    IF to_regcollation('"und-x-icu"') IS NOT NULL THEN
      CREATE COLLATION midspan_fold FROM "und-x-icu";
    ELSIF to_regcollation('pg_unicode_fast') IS NOT NULL THEN
      CREATE COLLATION midspan_fold FROM pg_unicode_fast;
    ELSE
      RAISE EXCEPTION 'Midspan needs PostgreSQL built with ICU, or PostgreSQL 18 or newer';
    END IF;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;
END
$$
"""
"""Makes the collation that ``fold`` lowers with: ICU's root locale where the server has ICU, else
PostgreSQL's own full Unicode mapping. Cheap and harmless to repeat."""

SQLITE = SqliteDialect()
POSTGRESQL = PostgresDialect()

_SQLITE_TYPES = {
    Storage.TEXT: "TEXT",
    Storage.INTEGER: "INTEGER",
    Storage.DECIMAL: "TEXT COLLATE midspan_decimal",
    Storage.BOOLEAN: "INTEGER",
    Storage.DATETIME: "TEXT",
    Storage.DATE: "TEXT",
}
_POSTGRES_TYPES = {
    Storage.TEXT: 'text COLLATE "C"',
    Storage.INTEGER: "bigint",
    Storage.DECIMAL: "numeric",
    Storage.BOOLEAN: "boolean",
    Storage.DATETIME: "timestamp(0)",
    Storage.DATE: "date",
}
_POSTGRES_READ = {
    Storage.TEXT: "{}",
    Storage.INTEGER: "{}::text",
    Storage.DECIMAL: "trim_scale({})::text",
    Storage.BOOLEAN: "{}::text",
    Storage.DATETIME: "to_char({}, 'YYYY-MM-DD HH24:MI:SS')",
    Storage.DATE: "to_char({}, 'YYYY-MM-DD')",
}
_INTERVALS = {
    "minute": ("mins", 1),
    "hour": ("hours", 1),
    "day": ("days", 1),
    "week": ("weeks", 1),
    "month": ("months", 1),
    "quarter": ("months", 3),
    "year": ("years", 1),
}
_PARTS = {"dayofweek": "DOW"}


@lru_cache(maxsize=8192)
def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
