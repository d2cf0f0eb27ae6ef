"""An import of people into sys_user, for the tests of imports."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping

from midspan.importsets import ImportRun, ImportRunner
from midspan.instance import Instance
from midspan.records import insert
from midspan.security import SYSTEM

NAMES = itertools.count(1)


class People:
    """An import of people into sys_user, with a staging table of its own."""

    def __init__(self, instance: Instance, **map_values: str) -> None:
        self.instance = instance
        self.number = next(NAMES)
        self.staging = f"u_people_{self.number}"
        self.source = f"People {self.number}"
        self.runner = ImportRunner(instance.records, instance.clock)
        self._fields: list[dict[str, str]] = []
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(
                insert(
                    "sys_data_source",
                    {"name": self.source, "import_set_table_name": self.staging},
                )
            )
            made = transaction.apply(
                insert(
                    "sys_transform_map",
                    {
                        "name": self.source,
                        "source_table": self.staging,
                        "target_table": "sys_user",
                        **map_values,
                    },
                )
            )
        self.map_id = made.sys_id

    def field(self, target: str, source: str, **more: str) -> People:
        values = {"map": self.map_id, "target_field": target, "source_field": source, **more}
        with self.instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(insert("sys_transform_entry", values))
        return self

    def run(self, text: str | bytes) -> ImportRun:
        content = text.encode() if isinstance(text, str) else text
        (run,) = self.runner.import_csv(io.BytesIO(content), self.source)
        return run

    def users(self, query: str) -> list[Mapping[str, str]]:
        with self.instance.records.read(SYSTEM) as transaction:
            return [record.values for record in transaction.find("sys_user", query)]

    def errors(self, run: ImportRun) -> list[tuple[str, str, str]]:
        with self.instance.records.read(SYSTEM) as transaction:
            found = transaction.find(
                "sys_import_set_row_error", f"import_set_run={run.sys_id}^ORDERBYrow"
            )
        return [(r.get("row"), r.get("error_code"), r.get("error_message")) for r in found]
