"""Groups to SQL: pure, one statement per plan, every value a parameter."""

from __future__ import annotations

from midspan.dictionary import Dictionary, FieldPath, Storage
from midspan.query import Aggregate, AggregatePlan, GroupSort, Having
from midspan.query.aggregate import DURATIONS
from midspan.query.comparison import is_folded
from midspan.storage.compile import Statement, compared, where_clause
from midspan.storage.dialect import Dialect, Value
from midspan.storage.source import Source

_COUNTED = frozenset({"COUNT", "SUM", "AVG"})


def compile_aggregate(plan: AggregatePlan, dictionary: Dictionary, dialect: Dialect) -> Statement:
    """Return the statement that yields the groups of ``plan`` in its order.

    A row has the group values and then the aggregates, all as wire text or None. Texts that fold
    to the same are one group, shown as the first of them by code points. A plan without any column
    yields one entry, None.
    """
    return _Groups(plan, dictionary, dialect).statement()


class _Groups:
    """Builds one statement; the parts that name columns come before the text behind FROM."""

    def __init__(self, plan: AggregatePlan, dictionary: Dictionary, dialect: Dialect) -> None:
        self._plan = plan
        self._dialect = dialect
        self._source = Source(dictionary, dialect, plan.table)

    def statement(self) -> Statement:
        plan = self._plan
        shown = [self._shown(path) for path in plan.group_by]
        columns = ", ".join((*shown, *map(self._computed, plan.aggregates))) or "MIN(NULL)"
        groups = [self._compared(path) for path in plan.group_by]
        grouped = f" GROUP BY {', '.join(groups)}" if groups else ""
        having, limits = self._having()
        ordered = self._ordered(groups) if groups else ""
        condition, params = where_clause(self._source, self._dialect, plan.condition)
        page, bounds = self._dialect.page(plan.limit, 0)
        sql = f"SELECT {columns} FROM {self._source.sql()}{condition}{grouped}"  # noqa: S608
        return Statement(f"{sql}{having}{ordered}{page}", (*params, *limits, *bounds))

    def _compared(self, path: FieldPath) -> str:
        return compared(self._source, self._dialect, path)

    def _shown(self, path: FieldPath) -> str:
        column = self._source.path(path)
        if is_folded(path.field):
            return f"MIN({column})"
        return self._dialect.read(column, path.field.storage)

    def _computed(self, wanted: Aggregate) -> str:
        """Return the wire text of an aggregate."""
        dialect = self._dialect
        if wanted.path is None:
            return dialect.read("COUNT(*)", Storage.INTEGER)
        column, field = self._source.path(wanted.path), wanted.path.field
        if wanted.function == "COUNT":
            return dialect.read(f"COUNT({column})", Storage.INTEGER)
        if wanted.function in ("SUM", "AVG"):
            if field.type in DURATIONS:
                column = dialect.seconds(column)
            return dialect.total(wanted.function, column, field.storage)
        if is_folded(field):
            return dialect.extreme(wanted.function, column)
        if field.storage is Storage.BOOLEAN:
            return f"{wanted.function}({dialect.read(column, field.storage)})"
        return dialect.read(f"{wanted.function}({self._compared(wanted.path)})", field.storage)

    def _comparable(self, wanted: Aggregate) -> tuple[str, Storage, bool]:
        """Return what is compared of an aggregate, the storage of its values, and if it folds."""
        dialect = self._dialect
        if wanted.path is None or wanted.function in _COUNTED:
            return dialect.number(self._computed(wanted)), Storage.DECIMAL, False
        field = wanted.path.field
        if is_folded(field):
            return dialect.fold(self._computed(wanted)), Storage.TEXT, True
        if field.storage is Storage.BOOLEAN:
            return self._computed(wanted), Storage.TEXT, False
        extreme = f"{wanted.function}({self._compared(wanted.path)})"
        return dialect.comparable(extreme, field), field.storage, False

    def _having(self) -> tuple[str, list[Value]]:
        tests = [self._test(having) for having in self._plan.having]
        text = " AND ".join(test for test, _ in tests)
        return (f" HAVING {text}" if text else ""), [value for _, value in tests]

    def _test(self, having: Having) -> tuple[str, Value]:
        left, storage, folded = self._comparable(having.aggregate)
        right = self._dialect.fold("?") if folded else "?"
        return (
            f"{left} {having.operator.value} {right}",
            self._dialect.bind(storage, having.value),
        )

    def _ordered(self, groups: list[str]) -> str:
        """Sort as the plan says; its last keys, the groups themselves, decide every draw."""
        sorts = [(self._sorted(sort), sort.descending) for sort in self._plan.order]
        known = {expression for expression, _ in sorts}
        sorts += [(group, False) for group in groups if group not in known]
        terms = (self._dialect.order(one, descending=falling) for one, falling in sorts)
        return f" ORDER BY {', '.join(terms)}"

    def _sorted(self, sort: GroupSort) -> str:
        """The display value of a group is the same in all its rows; SQL wants one of them named."""
        if isinstance(sort.by, Aggregate):
            return self._comparable(sort.by)[0]
        expression = self._compared(sort.by)
        field = sort.by.field
        if sort.by in self._plan.group_by:
            return expression
        if field.storage is Storage.BOOLEAN:
            return f"MIN({self._dialect.read(expression, field.storage)})"
        least = f"MIN({expression})"
        return least if is_folded(field) else self._dialect.comparable(least, field)
