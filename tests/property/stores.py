"""A world put into a database, to ask it the same questions."""

from __future__ import annotations

from typing import Any

from midspan.dictionary import Storage
from midspan.storage.compile import Statement
from midspan.storage.dialect import POSTGRESQL, Dialect

from .worlds import Record, World


class Store:
    """Puts a world into one database and runs statements there; everything is undone after it."""

    def __init__(self, dialect: Dialect, connection: Any) -> None:
        self.dialect = dialect
        self._connection = connection

    def run(self, statement: Statement) -> list[tuple[Any, ...]]:
        return self._execute(statement.sql, statement.params)

    def fill(self, world: World) -> None:
        """Create the physical tables of the world's dictionary anew, with its records."""
        columns: dict[str, dict[str, Storage]] = {}
        for table in world.dictionary:
            physical = columns.setdefault(table.physical, {})
            for field in table.fields.values():
                if field.storage is not Storage.NONE:
                    physical[field.column] = field.storage
        for name, kinds in columns.items():
            self._execute(f"DROP TABLE IF EXISTS {self.dialect.quote(name)}")
            described = ", ".join(
                f"{self.dialect.quote(column)} {self.dialect.column_type(kind)}"
                for column, kind in kinds.items()
            )
            self._execute(f"CREATE TABLE {self.dialect.quote(name)} ({described})")
        for record in world.records.values():
            self._insert(world, record)

    def _insert(self, world: World, record: Record) -> None:
        table = world.dictionary.table(record["class"])
        values = {
            table.fields[name].column: self.dialect.bind(table.fields[name].storage, text)
            for name, text in record.items()
            if name != "class"
        }
        values["sys_class_name"] = record["class"]
        names = ", ".join(self.dialect.quote(column) for column in values)
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {self.dialect.quote(table.physical)} ({names}) VALUES ({marks})"  # noqa: S608
        self._execute(sql, tuple(values.values()))

    def _execute(self, sql: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if self.dialect is POSTGRESQL:
            sql = sql.replace("%", "%%").replace("?", "%s")
        cursor = self._connection.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else []
