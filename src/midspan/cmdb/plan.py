"""What is to be done about each item: which stored one it is, and what of it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec import Struct

from midspan.cmdb.identify import Identified
from midspan.cmdb.outcome import Note, Operation, Problem, Refusal, SubOutcome
from midspan.cmdb.payload import Item, Place, SubItem
from midspan.cmdb.prepare import Prepared
from midspan.cmdb.reclassify import Direction, Move, decide_class
from midspan.cmdb.reconcile import LastWord, Reconciler, Report
from midspan.cmdb.rule import Entry, Rule, RuleBook
from midspan.cmdb.search import Search
from midspan.dictionary import Table
from midspan.query import ReadOptions, evaluate, parse, plan_read
from midspan.records import Record, RecordTransaction

LAST, FIRST, SOURCE = "last_discovered", "first_discovered", "discovery_source"
_SEEN = frozenset({LAST, SOURCE})
"""What every report sets; a report that changes nothing else has changed nothing."""
_KEEPS_NEWER = "glide.identification_engine.skip_updating_source_last_discovered_if_older"
_MOVED = {
    Direction.UPGRADE: Operation.UPGRADE,
    Direction.DOWNGRADE: Operation.DOWNGRADE,
    Direction.SWITCH: Operation.SWITCH,
}


class Write(Struct, frozen=True, kw_only=True):
    """One record to insert or update."""

    table: str
    sys_id: str
    operation: Operation
    values: Mapping[str, str]
    cls: str = ""
    """The class that a known item is to have, where that is another one."""
    quiet: bool = False
    """Nothing but by whom and when it was last seen."""


class ItemPlan(Struct, kw_only=True):
    """What is to be done about one item."""

    write: Write | None = None
    subs: list[tuple[SubOutcome, Write | None]] = []
    claimed: frozenset[str] = frozenset()
    notes: list[Note] = []
    operation: Operation = Operation.NO_CHANGE
    sys_id: str = ""
    cls: str = ""


class Reporting(Struct, frozen=True, kw_only=True):
    """Who reports, when, and how the instance is set."""

    source: str
    now: datetime
    now_text: str
    properties: Mapping[str, str]
    keeps_seen: bool = False
    """An item of which the payload does not say when it was seen keeps its time."""
    keeps_scan: bool = False
    """The same for the time at which a source scanned."""

    def on(self, name: str) -> bool:
        """Tell whether a property that is on by default is on."""
        return self.properties.get(name, "").strip().lower() != "false"


class Planner:
    """Plans items one by one; remembers what earlier ones of the payload will have changed."""

    def __init__(
        self,
        transaction: RecordTransaction,
        book: RuleBook,
        search: Search,
        reporting: Reporting,
        new_id: Callable[[], str],
    ) -> None:
        self._transaction = transaction
        self._dictionary = transaction.dictionary
        self._book = book
        self._search = search
        self._by = reporting
        self._new_id = new_id
        self._stored: dict[str, Record] = {}
        self._words: dict[str, dict[str, LastWord]] = {}
        fill = reporting.on("glide.reconciliation.override.null")
        self._reconciler = Reconciler(self._dictionary, book, fill_empty=fill)
        self.moves_refused: list[tuple[Record, str, Direction]] = []

    def known(
        self, records: Mapping[str, Record], words: Mapping[str, dict[str, LastWord]]
    ) -> None:
        """Take the stored items that were found, and who wrote their fields last."""
        self._stored.update(records)
        self._words.update(words)

    def plan(self, prepared: Prepared, identified: Identified, new_id: str) -> ItemPlan:
        """Plan one item; ``new_id`` is for one that is new.

        Raises:
            Refusal: it cannot be taken; says why.
        """
        if identified.found is None:
            plan = self._new(prepared, new_id)
        else:
            plan = self._found(prepared, identified.found.sys_id)
        self._sides(prepared, plan, new=identified.found is None)
        return plan

    # The item itself

    def _new(self, prepared: Prepared, sys_id: str) -> ItemPlan:
        cls = prepared.cls
        if self._book.barred(self._dictionary, cls, self._by.source):
            raise Refusal(
                "INSERT_NOT_ALLOWED_FOR_SOURCE",
                f"Insert into [{cls}] is blocked for data source [{self._by.source}] by IRE data "
                "source rule",
            )
        table = self._dictionary.table(cls)
        values = {name: text for name, text in prepared.values.items() if text}
        self._check_required(table, values)
        values |= self._seen(table, values, None)
        record = Record(cls, {**values, "sys_id": sys_id, "sys_class_name": cls})
        self._stored[sys_id] = record
        report = self._report(cls, values)
        claimed = self._reconciler.claims(report, lambda query: self._meets(cls, values, query))
        write = Write(table=cls, sys_id=sys_id, operation=Operation.INSERT, values=values)
        return ItemPlan(
            write=write, claimed=claimed, operation=Operation.INSERT, sys_id=sys_id, cls=cls
        )

    def _check_required(self, table: Table, values: Mapping[str, str]) -> None:
        if not self._by.on("glide.required.attribute.enabled"):
            return
        for name, field in table.fields.items():
            if field.mandatory and not values.get(name) and not field.default:
                raise Refusal(
                    "REQUIRED_ATTRIBUTE_EMPTY",
                    f"Missing mandatory field [{name}] in table [{table.name}]. Add input value "
                    "for mandatory field in payload",
                )

    def _found(self, prepared: Prepared, sys_id: str) -> ItemPlan:
        record = self._stored[sys_id]
        plan = ItemPlan(sys_id=sys_id, cls=record.table, notes=[], subs=[])
        if prepared.item.anchor:
            return plan
        move = self._move(prepared.item, record, prepared.cls)
        plan.notes = _notes(move)
        plan.cls = move.cls
        table = self._dictionary.table(move.cls)
        given = {name: text for name, text in prepared.values.items() if name in table.fields}
        merged = {**record.values, **given}
        decided = self._reconciler.decide(
            self._report(move.cls, given),
            record.values,
            self._words.get(sys_id, {}),
            lambda query: self._meets(move.cls, merged, query),
        )
        accepted = {n: t for n, t in decided.values.items() if n not in (LAST, SOURCE, FIRST)}
        accepted |= self._seen(table, given, record)
        values = self._different(table, record, accepted)
        plan.claimed = decided.claimed
        plan.operation = _operation(move, values)
        if values or move.direction:
            plan.write = Write(
                table=record.table,
                sys_id=sys_id,
                operation=plan.operation,
                values=values,
                cls=move.cls if move.direction else "",
                quiet=plan.operation is Operation.NO_CHANGE,
            )
        self._stored[sys_id] = Record(
            move.cls, {**record.values, **values, "sys_class_name": move.cls}
        )
        return plan

    def _move(self, item: Item, record: Record, wanted: str) -> Move:
        move = decide_class(
            record.table,
            wanted,
            item.settings,
            self._dictionary,
            self._book,
            self._by.properties,
        )
        if move.refused:
            self.moves_refused.append((record, wanted, move.refused))
            raise Refusal(
                "RECLASSIFICATION_NOT_ALLOWED",
                f"CI Reclassification not allowed from class: [{record.table}] to [{wanted}]",
            )
        return move

    def _seen(
        self, table: Table, given: Mapping[str, str], record: Record | None
    ) -> dict[str, str]:
        """Return who saw the item and when; nothing where a later report is known."""
        if LAST not in table.fields:
            return {}
        kept = record.get(LAST) if record and self._by.keeps_seen else ""
        seen = given.get(LAST) or kept or self._by.now_text
        found: dict[str, str] = {}
        if record is None:
            found[FIRST] = given.get(FIRST) or self._by.now_text
        elif given.get(FIRST):
            found[FIRST] = given[FIRST]
        older = record is not None and seen < record.get(LAST)
        if not older or not self._by.on(_KEEPS_NEWER):
            found |= {LAST: seen, SOURCE: self._by.source}
        return found

    def _different(
        self, table: Table, record: Record, accepted: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the values that differ from what is stored and that the actor may write.

        Of a field that he may not read he is not told whether it differed.
        """
        transaction = self._transaction
        if not transaction.enforce:
            return {n: t for n, t in accepted.items() if record.get(n) != t}
        access = transaction.access
        return {
            name: text
            for name, text in accepted.items()
            if access.field(table.name, name, "write")
            and (record.get(name) != text or not access.field(table.name, name, "read"))
        }

    def _report(self, cls: str, values: Mapping[str, str]) -> Report:
        return Report(cls=cls, source=self._by.source, values=values, now=self._by.now)

    def _meets(self, cls: str, values: Mapping[str, str], query: str) -> bool:
        """Tell whether an item will meet a rule's condition; walks of references read empty."""
        options = ReadOptions(columns=("sys_id",), values=self._transaction.values)
        condition = plan_read(self._dictionary, cls, parse(query), options).condition
        return evaluate(condition, lambda path: values.get(path.name, ""))

    # Rows of side tables

    def _sides(self, prepared: Prepared, plan: ItemPlan, *, new: bool) -> None:
        rule = prepared.rules[0] if prepared.rules else None
        known: dict[tuple[str, ...], str] = {}
        plan.subs = []
        for part in ("lookup", "related"):
            rows: tuple[SubItem, ...] = getattr(prepared, part)
            for number, sub in enumerate(rows):
                entries = self._entries(rule, part, sub.cls)
                outcome = SubOutcome(place=Place(-1, part, number), cls=sub.cls)
                write = self._side(sub, entries, plan.sys_id, known, outcome, new=new)
                plan.subs.append((outcome, write))

    def _entries(self, rule: Rule | None, part: str, cls: str) -> list[Entry]:
        """Return by what rows of a side table are known.

        Raises:
            Refusal: the rule of the class knows no such rows.
        """
        among = () if rule is None else rule.entries if part == "lookup" else rule.related
        found = [
            entry
            for entry in among
            if entry.active and entry.referenced and self._dictionary.is_a(cls, entry.table)
        ]
        if not found:
            kind, word = ("LOOKUP", "Lookup") if part == "lookup" else ("RELATED_ITEM", "Related")
            table = rule.applies_to if rule else ""
            raise Refusal(
                f"IDENTIFICATION_RULE_FOR_{kind}_MISSING",
                f"Identity Rule for table [{table}] missing {word} Rule for class [{cls}]",
            )
        return found

    def _side(
        self,
        sub: SubItem,
        entries: list[Entry],
        owner: str,
        known: dict[tuple[str, ...], str],
        outcome: SubOutcome,
        *,
        new: bool,
    ) -> Write | None:
        """Plan a row: the one that names the item and is equal by an entry, or a new one."""
        usable = [e for e in entries if all(sub.values.get(name) for name in e.attributes)]
        if not usable:
            outcome.warnings.append(_too_little(sub, entries))
            return None
        entry = usable[0]
        table = self._dictionary.table(sub.cls)
        key = (sub.cls, *(sub.values[name].lower() for name in entry.attributes))
        if key in known:
            outcome.sys_id = known[key]
            return None
        wanted = {name: sub.values[name] for name in entry.attributes} | {entry.referenced: owner}
        stored = None if new else next(iter(self._search.rows(entry.table, wanted)), None)
        values = {**sub.values, entry.referenced: owner}
        values |= self._seen(table, values, stored)
        outcome.sys_id = known[key] = stored.sys_id if stored else self._new_id()
        if stored is None:
            outcome.operation = Operation.INSERT
            return Write(
                table=sub.cls,
                sys_id=outcome.sys_id,
                operation=Operation.INSERT,
                values={name: text for name, text in values.items() if text},
            )
        kept = {name: text for name, text in values.items() if name in table.fields}
        differs = self._different(self._dictionary.table(stored.table), stored, kept)
        if differs.keys() - _SEEN:
            outcome.operation = Operation.UPDATE
        if not differs:
            return None
        return Write(
            table=stored.table,
            sys_id=stored.sys_id,
            operation=outcome.operation,
            values=differs,
            quiet=outcome.operation is Operation.NO_CHANGE,
        )


def _operation(move: Move, values: Mapping[str, str]) -> Operation:
    if move.direction:
        return _MOVED[move.direction]
    return Operation.UPDATE if values.keys() - _SEEN else Operation.NO_CHANGE


def _notes(move: Move) -> list[Note]:
    if not move.skipped:
        return []
    why = "a reclassification restriction rule" if move.restriction else "a flag or property"
    message = f"The {move.skipped} of the class was skipped because of {why}"
    return [Note(f"SKIPPED_CLASS_{move.skipped.upper()}", message, move.restriction)]


def _too_little(sub: SubItem, entries: list[Entry]) -> Problem:
    fields = "; ".join(", ".join(entry.attributes) for entry in entries)
    return Problem(
        "MISSING_MATCHING_ATTRIBUTES",
        "In payload missing minimum set of input values for criterion (matching) attributes from "
        f"identify rule for table [{sub.cls}]. Give one of these: {fields}",
    )
