"""Reads the rules of identification and reconciliation from their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from midspan.cmdb.rule import (
    Dependency,
    Entry,
    Precedence,
    Restriction,
    Rule,
    RuleBook,
    SourceRule,
    Staleness,
)
from midspan.dictionary import Dictionary
from midspan.formats import dates
from midspan.kernel.errors import InvalidValue
from midspan.query import ReadOptions, parse, plan_read
from midspan.records import SnapshotPart
from midspan.storage import Transaction, compile_read
from midspan.storage.catalog import columns_of

_TABLES = (
    "cmdb_identifier",
    "cmdb_identifier_entry",
    "cmdb_related_entry",
    "cmdb_metadata_hosting",
    "cmdb_metadata_containment",
    "cmdb_reconciliation_definition",
    "cmdb_datasource_staleness",
    "cmdb_ire_data_source_rule",
    "cmdb_ire_reclassification_restriction",
    "cmdb_rel_type",
)
_Row = Mapping[str, str]
_LAST = 2**31


class _Reader:
    """Reads whole tables, in the order in which their rows were made."""

    def __init__(self, transaction: Transaction, dictionary: Dictionary) -> None:
        self._transaction = transaction
        self._dictionary = dictionary

    def rows(self, table: str, query: str = "") -> list[_Row]:
        # An upgrade reads the dictionary of the new release before it has made the new tables.
        if table not in self._dictionary or not columns_of(self._transaction, table):
            return []
        names = list(self._dictionary.table(table).fields)
        ordered = parse(f"{query}^ORDERBYsys_created_on^ORDERBYsys_id")
        plan = plan_read(self._dictionary, table, ordered, ReadOptions(columns=names))
        statement = compile_read(plan, self._dictionary, self._transaction.dialect)
        names = [path.name for path in plan.columns]
        return [
            {name: text or "" for name, text in zip(names, row, strict=True)}
            for row in self._transaction.rows(statement.sql, statement.params)
        ]


def load_rules(transaction: Transaction, dictionary: Dictionary) -> RuleBook:
    """Read every active rule, and the types of relations."""
    reader = _Reader(transaction, dictionary)
    rows = reader.rows
    return RuleBook(
        identifiers=tuple(_rules(reader, dictionary)),
        dependencies=(
            *(_dependency(row, upwards=True) for row in rows("cmdb_metadata_hosting")),
            *(_dependency(row, upwards=False) for row in rows("cmdb_metadata_containment")),
        ),
        precedences=tuple(map(_precedence, rows("cmdb_reconciliation_definition", _ACTIVE))),
        staleness=tuple(
            Staleness(row["applies_to"], row["discovery_source"], _span(row["effective_duration"]))
            for row in rows("cmdb_datasource_staleness", _ACTIVE)
        ),
        source_rules=tuple(
            SourceRule(row["applies_to"], row["data_source"], row["insert_not_allowed"] == "true")
            for row in rows("cmdb_ire_data_source_rule", _ACTIVE)
        ),
        restrictions=tuple(
            map(_restriction, rows("cmdb_ire_reclassification_restriction", _ACTIVE))
        ),
        relation_types=tuple((row["sys_id"], row["name"]) for row in rows("cmdb_rel_type")),
    )


RULES = SnapshotPart("cmdb_rules", frozenset(_TABLES), load_rules)
_ACTIVE = "active=true"


def names_in(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas between.

    >>> names_in("name, serial_number,")
    ('name', 'serial_number')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _rules(reader: _Reader, dictionary: Dictionary) -> Iterator[Rule]:
    entries = _entries(reader.rows("cmdb_identifier_entry"))
    related = _entries(reader.rows("cmdb_related_entry"))
    for row in reader.rows("cmdb_identifier", _ACTIVE):
        if row["applies_to"] in dictionary:
            yield Rule(
                sys_id=row["sys_id"],
                name=row["name"],
                description=row["description"],
                applies_to=row["applies_to"],
                independent=row["independent"] == "true",
                entries=tuple(entries.get(row["sys_id"], ())),
                related=tuple(related.get(row["sys_id"], ())),
            )


def _entries(rows: list[_Row]) -> dict[str, list[Entry]]:
    """Return entries by their rule, lowest order first."""
    found: dict[str, list[Entry]] = {}
    for row in sorted(rows, key=lambda row: _number(row["order"])):
        entry = Entry(
            sys_id=row["sys_id"],
            table=row["table"],
            attributes=names_in(row["attributes"]),
            own=names_in(row.get("hybrid_entry_ci_criterion_attributes", "")),
            referenced=row["referenced_field"],
            condition=row["optional_condition"],
            order=_number(row["order"]),
            exact=row.get("exact_count_match") == "true",
            nullable=row["allow_null_attribute"] == "true",
            fallback=row.get("allow_fallback") == "true",
            active=row["active"] == "true",
        )
        found.setdefault(row["identifier"], []).append(entry)
    return found


def _dependency(row: _Row, *, upwards: bool) -> Dependency:
    parent, child = row["parent_type"], row["child_type"]
    dependent, host = (parent, child) if upwards else (child, parent)
    return Dependency(dependent, host, row["rel_type"], upwards)


def _precedence(row: _Row) -> Precedence:
    return Precedence(
        table=row["applies_to"],
        source=row["discovery_source"],
        priority=_number(row["priority"]),
        attributes=frozenset(names_in(row["attributes"])),
        emptied=frozenset(names_in(row["null_attributes"])),
        condition=row["condition"],
    )


def _restriction(row: _Row) -> Restriction:
    return Restriction(
        sys_id=row["sys_id"],
        source=row["source_table"],
        source_below=row["source_inheritance"] == "true",
        target=row["target_table"],
        target_below=row["target_inheritance"] == "true",
        kind=row["type"],
    )


def _number(text: str) -> int:
    return int(text) if text else _LAST


def _span(text: str) -> timedelta:
    """Return a duration; what cannot be read, or is not there, is none."""
    try:
        return dates.parse_duration(text) if text else timedelta()
    except InvalidValue:
        return timedelta()
