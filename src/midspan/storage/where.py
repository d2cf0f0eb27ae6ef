"""The WHERE part of a statement: conditions to SQL, values to parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from midspan.dictionary import Field, FieldPath, Storage
from midspan.query import And, Condition, Operator, Or, Related, RelatedTerm, Term, Test, Unread
from midspan.query.comparison import Measure, is_folded, measure
from midspan.query.related import OPPOSITE, holds
from midspan.storage.dialect import Dialect, Value
from midspan.storage.source import Source

LONGEST_LIST = 500
"""Values of an IN that travel as parameters of their own; longer lists travel as one."""
_WIDEST = 100
"""Parts joined in one row; SQLite limits the depth of an expression to 1,000."""


class Where:
    """Compiles conditions over one source; ``params`` grow in the order of the text."""

    def __init__(self, source: Source, dialect: Dialect) -> None:
        self._source = source
        self._dialect = dialect
        self.params: list[Value] = []

    def compile(self, condition: Condition) -> str:
        """Return a test that can stand beside others joined by AND; ``''`` when it always holds."""
        match condition:
            case And():
                return _joined([self._part(part) for part in condition.parts], " AND ")
            case Or():
                return f"({self._alternatives(condition)})"
            case Test():
                return _TESTS[condition.operator](self, condition)
            case Related():
                return self._related(condition)
            case Term() | RelatedTerm() | Unread():
                raise TypeError(f"Condition {condition} is not resolved; plan it first")

    def _part(self, condition: Condition) -> str:
        return self.compile(condition) or "1 = 1"

    def _alternatives(self, condition: Or) -> str:
        parts = [
            f"({self._part(part)})" if isinstance(part, And) else self._part(part)
            for part in condition.parts
        ]
        return _joined(parts, " OR ") or "1 = 0"

    def _operands(self, test: Test) -> tuple[str, str]:
        """Return what is compared and the matching placeholder."""
        field = test.path.field
        left = self._dialect.comparable(self._source.path(test.path), field)
        return left, self._dialect.fold("?") if is_folded(field) else "?"

    def _bind(self, field: Field, values: Sequence[str]) -> None:
        self.params += [self._dialect.bind(field.storage, value) for value in values]

    def _or_empty(self, test: Test, sql: str) -> str:
        return f"({sql} OR {self._source.path(test.path)} IS NULL)"

    def _comparison(self, test: Test) -> str:
        left, right = self._operands(test)
        self._bind(test.path.field, test.values)
        return f"{left} {test.operator.value} {right}"

    def _difference(self, test: Test) -> str:
        left, right = self._operands(test)
        self._bind(test.path.field, test.values)
        return self._or_empty(test, f"{left} <> {right}")

    def _between(self, test: Test) -> str:
        left, right = self._operands(test)
        self._bind(test.path.field, test.values)
        return f"{left} BETWEEN {right} AND {right}"

    def _member(self, test: Test) -> str:
        if not test.values:
            return "1 = 0"
        left, right = self._operands(test)
        field = test.path.field
        if len(test.values) > LONGEST_LIST:
            self.params.append(self._dialect.list_value(field.storage, test.values))
            return f"{left} {test.operator.value} ({self._dialect.listed(field)})"
        self._bind(field, test.values)
        return f"{left} {test.operator.value} ({', '.join([right] * len(test.values))})"

    def _not_member(self, test: Test) -> str:
        return self._or_empty(test, self._member(test)) if test.values else "1 = 1"

    def _match(self, test: Test) -> str:
        operator = Operator.CONTAINS if test.operator is Operator.NOT_CONTAINS else test.operator
        text = self._text(test)
        self.params += self._dialect.pattern(operator, test.values[0])
        return self._dialect.match(operator, text)

    def _no_match(self, test: Test) -> str:
        return self._or_empty(test, f"NOT {self._match(test)}")

    def _text(self, test: Test) -> str:
        return self._dialect.read(self._source.path(test.path), test.path.field.storage)

    def _empty(self, test: Test) -> str:
        return f"{self._source.path(test.path)} IS NULL"

    def _not_empty(self, test: Test) -> str:
        return f"{self._source.path(test.path)} IS NOT NULL"

    def _always(self, test: Test) -> str:
        return ""

    def _same(self, test: Test) -> str:
        if test.values and test.other is not None:
            unit, zone = test.values
            first, second = (
                self._dialect.truncated(self._local(path, zone), unit)
                for path in (test.path, test.other)
            )
            return self._dialect.same(first, second)
        return self._dialect.same(*self._pair(test))

    def _in_part(self, test: Test) -> str:
        part, sign, number, zone = test.values
        found = self._dialect.part(self._local(test.path, zone), part)
        return f"{found} {Operator(sign).value} {int(number):d}"

    def _local(self, path: FieldPath, zone: str) -> str:
        """Return a date as the calendar of a zone has it; a day is a day anywhere."""
        column = self._source.path(path)
        if path.field.storage is Storage.DATE:
            return self._dialect.midnight(column)
        return self._dialect.local(column, zone) if zone else column

    def _not_same(self, test: Test) -> str:
        return f"NOT ({self._same(test)})"

    def _pair(self, test: Test) -> tuple[str, str]:
        """Return both sides of a comparison of two fields, as ``measure`` says."""
        if test.other is None:
            raise TypeError(f"Condition {test} compares with no other field")
        return self._beside(test.path, test.other, self._source)

    def _beside(self, first: FieldPath, second: FieldPath, source: Source) -> tuple[str, str]:
        """Return two fields as they compare with each other, the second one of ``source``."""
        dialect = self._dialect
        columns = [self._source.path(first), source.path(second)]
        fields = [first.field, second.field]
        how = measure(*fields)
        if how is Measure.VALUES:
            return dialect.comparable(columns[0], fields[0]), dialect.comparable(
                columns[1], fields[1]
            )
        shown = dialect.number if how is Measure.NUMBERS else dialect.fold
        left, right = (
            shown(dialect.read(column, field.storage))
            for column, field in zip(columns, fields, strict=True)
        )
        return left, right

    def _related(self, related: Related) -> str:
        """Return whether the own value is among those that enough related rows have.

        The inner statement does not look at the outer row, so a database runs it once.
        """
        among = not holds(related.operator, 0, related.count)
        operator = related.operator if among else OPPOSITE[related.operator]
        source = self._source.beside(related.table)
        own, other = self._beside(related.own, related.other, source)
        column = source.path(related.other)
        where = Where(source, self._dialect)
        tests = [f"{column} IS NOT NULL", source.restriction(), where.compile(related.condition)]
        condition = " AND ".join(test for test in tests if test)
        self.params += where.params
        sql = f"SELECT {other} FROM {source.sql()} WHERE {condition}"  # noqa: S608 - no input
        if not (holds(operator, 1, related.count) and operator in _AT_LEAST):
            sql += f" GROUP BY {other} HAVING COUNT(*) {operator.value} {related.count:d}"
        return f"{own} IN ({sql})" if among else self._dialect.missing(own, sql)

    def _ordered(self, test: Test) -> str:
        left, right = self._pair(test)
        return f"{left} {_SIGNS[test.operator]} {right}"

    def _apart(self, test: Test) -> str:
        here, there = self._pair(test)
        count = int(test.values[1])
        edge = self._dialect.moved(there, test.values[0], count)
        near, far = (">", "<") if count < 0 else ("<", ">")
        if test.operator is Operator.MORE_THAN:
            return f"{here} {far} {edge}"
        return f"({here} {near} {edge} AND {here} {far}= {there})"


_AT_LEAST = (Operator.GREATER, Operator.GREATER_OR_EQUAL, Operator.DIFFERS)
"""Operators for which more rows never hurt once one row is enough; what differs, differs from 0."""
_SIGNS = {
    Operator.GREATER_FIELD: ">",
    Operator.LESS_FIELD: "<",
    Operator.GREATER_OR_EQUAL_FIELD: ">=",
    Operator.LESS_OR_EQUAL_FIELD: "<=",
}
_TESTS: dict[Operator, Callable[[Where, Test], str]] = {
    Operator.EQUALS: Where._comparison,
    Operator.DIFFERS: Where._difference,
    Operator.GREATER: Where._comparison,
    Operator.GREATER_OR_EQUAL: Where._comparison,
    Operator.LESS: Where._comparison,
    Operator.LESS_OR_EQUAL: Where._comparison,
    Operator.IN: Where._member,
    Operator.NOT_IN: Where._not_member,
    Operator.CONTAINS: Where._match,
    Operator.NOT_CONTAINS: Where._no_match,
    Operator.STARTS_WITH: Where._match,
    Operator.ENDS_WITH: Where._match,
    Operator.MATCHES: Where._match,
    Operator.MATCHES_REGEX: Where._match,
    Operator.IS_EMPTY: Where._empty,
    Operator.IS_NOT_EMPTY: Where._not_empty,
    Operator.BETWEEN: Where._between,
    Operator.ANYTHING: Where._always,
    Operator.DATE_PART: Where._in_part,
    Operator.SAME_AS: Where._same,
    Operator.NOT_SAME_AS: Where._not_same,
    **dict.fromkeys(_SIGNS, Where._ordered),
    Operator.MORE_THAN: Where._apart,
    Operator.LESS_THAN: Where._apart,
    Operator.CHANGES: Where._always,
    Operator.CHANGES_FROM: Where._always,
    Operator.CHANGES_TO: Where._always,
}


def _joined(parts: Sequence[str], word: str) -> str:
    """Join parts; many of them in nested rows, so that the expression does not grow too deep."""
    if len(parts) <= _WIDEST:
        return word.join(parts)
    rows = [
        f"({word.join(parts[start : start + _WIDEST])})" for start in range(0, len(parts), _WIDEST)
    ]
    return _joined(rows, word)
