"""The FROM part of a statement: physical tables of a hierarchy and joins along references."""

from __future__ import annotations

from midspan.dictionary import Dictionary, Field, FieldPath, Strategy, Table
from midspan.query.functions import Computed, Constant, Part
from midspan.storage.computed import Argument, computed_column, constant, whole
from midspan.storage.dialect import Dialect


class Source:
    """Rows of one table and its descendants, plus what is reached from them; used once.

    Ask for columns first, then for ``sql``: only what was asked for is joined and read.
    """

    def __init__(self, dictionary: Dictionary, dialect: Dialect, table: str) -> None:
        self._dictionary = dictionary
        self._dialect = dialect
        self._root = _Node(dictionary, dialect, dictionary.table(table), "t0")
        self._joined: dict[tuple[str, str, str], _Node] = {}
        self._columns: dict[str, str] = {}
        self._joins: list[tuple[_Node, str]] = []
        self.key = self._root.column(table, self._root.table.fields["sys_id"])
        """The row's ``sys_id``."""

    def beside(self, table: str) -> Source:
        """Return rows of another table, for a statement within this one."""
        return Source(self._dictionary, self._dialect, table)

    def column(self, table: str, field: Field) -> str:
        """Return a column of the row itself, as ``table`` (or a child of it) defines it."""
        return self._root.column(table, field)

    def path(self, path: FieldPath) -> str:
        """Return the column at the end of a walk, or what a function of columns yields.

        An empty or dangling reference yields NULL.
        """
        found = self._columns.get(path.name)
        if found is None:
            if isinstance(path, Computed):
                found = whole(self._computed(path), path.field)
            else:
                node = self._root
                for table, field in zip(path.tables[:-1], path.steps[:-1], strict=True):
                    node = self._join(node, table, field)
                found = node.column(path.table, path.field)
            self._columns[path.name] = found
        return found

    def _computed(self, path: Computed) -> str:
        arguments = [self._argument(part) for part in path.arguments]
        return computed_column(path, self._dialect, arguments)

    def _argument(self, part: Part) -> Argument:
        if isinstance(part, Constant):
            return constant(part, self._dialect)
        sql = self._computed(part) if isinstance(part, Computed) else self.path(part)
        return sql, part.field

    def restriction(self) -> str:
        """Return the test that keeps other classes of the hierarchy out, or ``''``."""
        return self._root.restriction()

    def sql(self) -> str:
        """Return the text behind FROM, for the columns asked for so far."""
        text = self._root.sql()
        for node, reference in self._joins:
            test = f"{node.alias}.{self._dialect.quote('sys_id')} = {reference}"
            restriction = node.restriction()
            text += f" LEFT JOIN {node.sql()} ON {test}"
            if restriction:
                text += f" AND {restriction}"
        return text

    def _join(self, node: _Node, table: str, field: Field) -> _Node:
        key = (node.alias, table, field.name)
        found = self._joined.get(key)
        if found is None:
            target = self._dictionary.table(field.reference or "")
            alias = f"t{len(self._joined) + 1}"
            found = self._joined[key] = _Node(self._dictionary, self._dialect, target, alias)
            found.column(target.name, target.fields["sys_id"])
            self._joins.append((found, node.column(table, field)))
        return found


class _Node:
    """One table of the statement under its alias."""

    def __init__(self, dictionary: Dictionary, dialect: Dialect, table: Table, alias: str) -> None:
        self.alias = alias
        self.table = table
        self._dictionary = dictionary
        self._dialect = dialect
        self._union = table.strategy is Strategy.PER_CLASS and len(table.classes) > 1
        self._used: dict[str, tuple[str, Field]] = {}

    def column(self, table: str, field: Field) -> str:
        """Return the column of ``field``, NULL for rows that are not of class ``table``."""
        own = table == self.table.name or not self._dictionary.is_a(table, self.table.name)
        if self._union:
            name = field.column if own else f"{table}.{field.column}"
            self._used[name] = (self.table.name if own else table, field)
            return f"{self.alias}.{self._dialect.quote(name)}"
        column = f"{self.alias}.{self._dialect.quote(field.column)}"
        if own:
            return column
        return f"CASE WHEN {self._of_classes(table)} THEN {column} END"

    def restriction(self) -> str:
        table = self.table
        if table.strategy is Strategy.SINGLE and table.parent is not None:
            return self._dialect.common(self._of_classes(table.name))
        return ""

    def sql(self) -> str:
        if not self._union:
            return f"{self._dialect.quote(self.table.physical)} AS {self.alias}"
        branches = " UNION ALL ".join(self._branch(name) for name in self.table.classes)
        return f"({branches}) AS {self.alias}"

    def _branch(self, name: str) -> str:
        """Read one class; a column that only other classes have is NULL in its own type."""
        quote = self._dialect.quote
        columns = ", ".join(
            f"{self._value(name, table, field)} AS {quote(shown)}"
            for shown, (table, field) in self._used.items()
        )
        physical = quote(self._dictionary.table(name).physical)
        return f"SELECT {columns} FROM {physical}"  # noqa: S608 - quoted names of the dictionary

    def _value(self, name: str, table: str, field: Field) -> str:
        if self._dictionary.is_a(name, table):
            return self._dialect.quote(field.column)
        return self._dialect.null(field.storage)

    def _of_classes(self, table: str) -> str:
        names = [self._dialect.literal(name) for name in self._dictionary.table(table).classes]
        column = f"{self.alias}.{self._dialect.quote('sys_class_name')}"
        return f"{column} = {names[0]}" if len(names) == 1 else f"{column} IN ({', '.join(names)})"
