"""Work that identification leaves to people: duplicates, and classes that may not change."""

from __future__ import annotations

from collections.abc import Iterable

from midspan.cmdb.outcome import Duplicates
from midspan.cmdb.reclassify import Direction
from midspan.cmdb.search import Search
from midspan.records import Record, RecordTransaction, insert, update


class Tasks:
    """Opens tasks in one transaction; the caller acts for the instance itself."""

    def __init__(self, transaction: RecordTransaction, search: Search) -> None:
        self._transaction = transaction
        self._search = search

    def duplicates(self, found: Duplicates) -> None:
        """Mark what the oldest stands for, and open a task unless one is open for the same."""
        main, *others = found.sys_ids
        if found.resolved:
            for sys_id in others:
                self._transaction.apply(update("cmdb_ci", sys_id, {"duplicate_of": main}))
        if self._has_task(found.sys_ids):
            return
        item = self._transaction.load("cmdb_ci", (main,)).get(main)
        name = item.get("name") if item else ""
        task = self._transaction.apply(
            insert(
                "reconcile_duplicate_task",
                {
                    "short_description": f"{len(found.sys_ids)} items cannot be told apart: {name}",
                    "cmdb_ci": main,
                    "identifier": found.rule,
                    "identifier_entry": found.entry,
                },
            )
        )
        for sys_id in found.sys_ids:
            self._transaction.apply(
                insert(
                    "duplicate_audit_result",
                    {
                        "follow_on_task": task.sys_id,
                        "duplicate_ci": sys_id,
                        "main_ci": "true" if sys_id == main else "false",
                    },
                )
            )

    def _has_task(self, sys_ids: Iterable[str]) -> bool:
        """Tell whether an open task is about exactly these items."""
        wanted = set(sys_ids)
        rows = self._search.rows("duplicate_audit_result", {"duplicate_ci": min(wanted)})
        for task in {row.get("follow_on_task") for row in rows}:
            about = self._search.rows("duplicate_audit_result", {"follow_on_task": task})
            record = self._transaction.load("reconcile_duplicate_task", (task,)).get(task)
            same = {row.get("duplicate_ci") for row in about} == wanted
            if same and record and record.get("active") == "true":
                return True
        return False

    def reclassification(self, item: Record, wanted: str, direction: Direction) -> None:
        """Open a task about a class, unless one is open for the same."""
        same = {"cmdb_ci": item.sys_id, "to_class": wanted, "active": "true"}
        if self._search.rows("reclassification_task", same):
            return
        self._transaction.apply(
            insert(
                "reclassification_task",
                {
                    "short_description": f"{item.get('name')} is reported as {wanted}",
                    "cmdb_ci": item.sys_id,
                    "from_class": item.table,
                    "to_class": wanted,
                    "reclassification_type": direction.value,
                },
            )
        )
