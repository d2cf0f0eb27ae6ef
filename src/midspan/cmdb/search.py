"""Looks items up for identification: all of them, whatever the actor may read of them.

Whoever may not see all that identification looks at would learn from its answers what is there;
``check_sight`` refuses him before anything is looked up. A property lets him in nevertheless.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from midspan.cmdb.identify import Candidate, Host
from midspan.cmdb.payload import SourceInfo
from midspan.cmdb.rule import Entry, Rule
from midspan.dictionary import FieldPath
from midspan.dictionary.values import canonical
from midspan.kernel.errors import NotAuthorized
from midspan.query import (
    ALWAYS,
    Condition,
    Operator,
    ReadOptions,
    ReadPlan,
    Sort,
    Test,
    Unknown,
    both,
    parse,
    plan_read,
)
from midspan.records import PROPERTIES, Record, RecordTransaction

IGNORES_ACL = "midspan.cmdb.identify_ignores_acl"
"""The property that lets identification look at what the actor may not read."""
_MOST = 1_000
"""Items that one look-up returns; more than any threshold of duplicates."""
_IN_ONE = 500
_ALWAYS_ASKED = {
    "sys_object_source": ("name", "id", "target_sys_id"),
    "cmdb_rel_ci": ("parent", "child", "type"),
}
"""What is looked at besides the tables of a rule."""


class Search:
    """The look-ups of one transaction."""

    def __init__(self, transaction: RecordTransaction) -> None:
        self._transaction = transaction
        self._dictionary = transaction.dictionary

    def by_id(self, sys_id: str, table: str) -> Candidate | None:
        """Return the item of an id, where it is of ``table`` or a descendant."""
        records = self._transaction.load(table, (sys_id,))
        found = [r for r in records.values() if not r.get("duplicate_of")]
        return Candidate(found[0].sys_id, found[0].table) if found else None

    def by_source(self, source: SourceInfo, table: str) -> Candidate | None:
        """Return the item that a source calls so, where it still exists."""
        for row in self.source_rows(source):
            if row.get("target_table") in self._dictionary:
                found = self.by_id(row.get("target_sys_id"), table)
                if found is not None:
                    return found
        return None

    def source_rows(self, source: SourceInfo) -> list[Record]:
        """Return the rows that say what a source calls so, the oldest first."""
        return self.rows("sys_object_source", {"name": source.name, "id": source.key})

    def equal(
        self, table: str, values: Mapping[str, str], condition: str, host: Host | None
    ) -> list[Candidate]:
        """Return the items whose fields are equal to ``values``, those beside a host only."""
        wanted = both(self._equal(table, values), self._encoded(table, condition))
        if host is None:
            return self._candidates(table, wanted)
        # Beside a host there are few; of one name there may be any number in the world.
        path = self._dictionary.path(table, "sys_id")
        return [
            each
            for chunk in _chunks(self._beside(host))
            for each in self._candidates(table, both(wanted, Test(path, Operator.IN, tuple(chunk))))
        ]

    def referred(self, entry: Entry, values: Mapping[str, str], table: str) -> list[Candidate]:
        """Return the items of ``table`` that rows of a look-up table name, the oldest first."""
        condition = both(
            self._equal(entry.table, values), self._encoded(entry.table, entry.condition)
        )
        column = self._dictionary.path(entry.table, entry.referenced)
        ids = {row[0] for row in self._run(entry.table, (column,), condition) if row[0]}
        path = self._dictionary.path(table, "sys_id")
        return [
            each
            for chunk in _chunks(sorted(ids))
            for each in self._candidates(table, Test(path, Operator.IN, tuple(chunk)))
        ]

    def rows(self, table: str, values: Mapping[str, str]) -> list[Record]:
        """Return the rows of a table whose fields are equal to ``values``, the oldest first."""
        path = self._dictionary.path(table, "sys_id")
        found = self._run(table, (path,), self._equal(table, values))
        ids = [row[0] for row in found if row[0]]
        records = self._transaction.load(table, ids)
        return [records[sys_id] for sys_id in ids if sys_id in records]

    def relations(self, parents: Iterable[str]) -> dict[tuple[str, str, str], str]:
        """Return the relations of items as parents: ids by parent, child and type."""
        names = ("parent", "child", "type", "sys_id")
        columns = tuple(self._dictionary.path("cmdb_rel_ci", name) for name in names)
        found: dict[tuple[str, str, str], str] = {}
        for chunk in _chunks(sorted(set(parents))):
            condition = Test(columns[0], Operator.IN, tuple(chunk))
            for row in self._all("cmdb_rel_ci", columns, condition):
                parent, child, kind, sys_id = (text or "" for text in row)
                found.setdefault((parent, child, kind), sys_id)
        return found

    def meets(self, record: Record, condition: str) -> bool:
        """Tell whether a stored item meets an encoded query."""
        return self._transaction.matches(record, self._encoded(record.table, condition))

    def _beside(self, host: Host) -> list[str]:
        """Return the items that stand in the host's relation."""
        upwards = host.dependency.upwards
        own, other = ("parent", "child") if upwards else ("child", "parent")
        path = self._dictionary.path
        fixed = both(
            Test(path("cmdb_rel_ci", other), Operator.EQUALS, (host.sys_id,)),
            Test(path("cmdb_rel_ci", "type"), Operator.EQUALS, (host.dependency.type,)),
        )
        rows = self._all("cmdb_rel_ci", (path("cmdb_rel_ci", own),), fixed)
        return sorted({row[0] for row in rows if row[0]})

    def _candidates(self, table: str, condition: Condition) -> list[Candidate]:
        known = self._dictionary.table(table)
        columns = [self._dictionary.path(table, "sys_id")]
        if known.hierarchy:
            columns.append(self._dictionary.path(table, "sys_class_name"))
        if "duplicate_of" in known.fields:
            unique = Test(self._dictionary.path(table, "duplicate_of"), Operator.IS_EMPTY)
            condition = both(condition, unique)
        rows = self._run(table, tuple(columns), condition)
        return [Candidate(str(row[0]), str(row[1]) if known.hierarchy else table) for row in rows]

    def _equal(self, table: str, values: Mapping[str, str]) -> Condition:
        condition: Condition = ALWAYS
        for name, text in values.items():
            path = self._dictionary.path(table, name)
            test = (
                Test(path, Operator.EQUALS, (canonical(path.field, text),))
                if text
                else Test(path, Operator.IS_EMPTY)
            )
            condition = both(condition, test)
        return condition

    def _encoded(self, table: str, query: str) -> Condition:
        """Resolve the condition of a rule, which has to name fields that exist."""
        if not query:
            return ALWAYS
        options = ReadOptions(
            columns=("sys_id",), unknown=Unknown.REFUSE, values=self._transaction.values
        )
        return plan_read(self._dictionary, table, parse(query), options).condition

    def _run(
        self, table: str, columns: tuple[FieldPath, ...], condition: Condition
    ) -> list[tuple[str | None, ...]]:
        created = Sort(self._dictionary.path(table, "sys_created_on"))
        plan = ReadPlan(
            table=table, columns=columns, condition=condition, order=(created,), limit=_MOST
        )
        return list(self._transaction.run(plan))

    def _all(
        self, table: str, columns: tuple[FieldPath, ...], condition: Condition
    ) -> list[tuple[str | None, ...]]:
        return list(
            self._transaction.run(ReadPlan(table=table, columns=columns, condition=condition))
        )


def check_sight(transaction: RecordTransaction, rules: Iterable[Rule]) -> None:
    """Refuse an actor who may not read all that the rules look at.

    Raises:
        NotAuthorized: names the table.
    """
    for table, names in hidden(transaction, rules):
        raise NotAuthorized(
            "User Not Authorized",
            detail=f"Identification needs to read all records of {table} and the fields "
            f"{', '.join(names)}",
            hint=f"Give the role a read rule for them, or set {IGNORES_ACL} to true.",
        )


def hidden(
    transaction: RecordTransaction, rules: Iterable[Rule]
) -> Iterator[tuple[str, list[str]]]:
    """Yield the tables that rules look at and the actor may not read as a whole, with fields."""
    if not transaction.enforce or transaction.snapshot.part(PROPERTIES).get(IGNORES_ACL) == "true":
        return
    wanted = {table: set(names) for table, names in _ALWAYS_ASKED.items()}
    for rule in rules:
        wanted.setdefault(rule.applies_to, set()).add("name")
        for entry in rule.entries:
            fields = wanted.setdefault(entry.table, set())
            fields.update((*entry.attributes, *((entry.referenced,) if entry.referenced else ())))
            wanted[rule.applies_to].update(entry.own)
    for table, names in sorted(wanted.items()):
        if table in transaction.dictionary and not _sees(transaction, table, names):
            yield table, sorted(names)


def _sees(transaction: RecordTransaction, table: str, names: Iterable[str]) -> bool:
    access, known = transaction.access, transaction.dictionary.table(table)
    return access.rows(table, "read") == ALWAYS and all(
        access.field(table, name, "read") for name in names if name in known.fields
    )


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + _IN_ONE] for start in range(0, len(values), _IN_ONE))
