"""One page of staging rows through one map: values, look-ups, coalesce, changes, row states.

Coalesce follows the vendor's rules exactly: all keys must match, letter case does not count
unless a key says so, the first match is updated and further ones are untouched; a row whose keys
are all empty is skipped (or inserted, when the map says so); an empty key among filled ones
matches empty only when its flag is set. Source: import-sets reference §4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from midspan.dictionary import Field, Storage
from midspan.dictionary.values import canonical
from midspan.formats.dates import from_display
from midspan.importsets.maps import FieldMap, TransformMap, display_field
from midspan.kernel.errors import InvalidValue, MidspanError
from midspan.query import And, Condition, Operator, Or, ReadPlan, Sort, Test
from midspan.query.comparison import fold
from midspan.records import (
    Applied,
    Change,
    ChangeOptions,
    Operation,
    Record,
    RecordTransaction,
    Refused,
    insert,
)

CLEAR = "NULL"
NO_RECORD = "-1"
"""What a script that finds the record by its sys_id answers when there is none."""
NOTHING_CHANGED = "No field values changed"
_SYS_ID = re.compile(r"[0-9a-fA-F]{32}")
SKIPPED, REFERENCE_REJECTED, CHOICE_REJECTED, INVALID_TARGET, SCRIPT_FAILED = 20, 100, 200, 800, 900
FieldScript = Callable[[str, str, Record], str]
"""Runs a field map's script: name, text and staging row in, the answer's text out."""


class Told(Struct, frozen=True):
    """What scripts have to say to whoever sent a row."""

    status: str = ""
    error: str = ""
    fields: Mapping[str, Any] = {}
    """Further fields of the answer, by name."""


class RowOutcome(Struct, frozen=True):
    """What became of one staging row."""

    row: Record
    state: str
    """``inserted``, ``updated``, ``ignored``, ``skipped`` or ``error``."""
    comment: str = ""
    code: int = 0
    target_id: str = ""
    target_table: str = ""
    told: Told = Told()


class RowRejected(MidspanError):
    """A value is not acceptable, so the whole row is refused; ``number`` is the row error code."""

    code = "MS900"

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class NotYet(Exception):
    """A referenced record of the target table may still come with a later row."""


class Missing(Struct, frozen=True):
    """A value that has to be created first: a referenced record, or a choice."""

    field_map: FieldMap
    field: Field
    text: str


class Ready(Struct):
    """A row whose values are known and whose target is still to be found."""

    row: Record
    values: dict[str, str]


class PageTransform:
    """Transforms pages of one run; keeps what it looked up until ``forget``."""

    def __init__(
        self, definition: TransformMap, script: FieldScript | None, time_zone: str = "UTC"
    ) -> None:
        self._map = definition
        self._script = script
        self._zone = time_zone
        self._found: dict[tuple[str, str], str | None] = {}
        self._choices: dict[tuple[str, str], str] = {}
        self._last = True

    def transform(self, transaction: RecordTransaction, rows: Sequence[Record]) -> list[RowOutcome]:
        """Transform rows in order inside the given transaction.

        A row that refers to a record of the target table which does not exist yet may mean a row
        of the same page, such as a manager listed beside his people. Such rows go through after
        the others; only then is what is still missing created, left out or refused.
        """
        outcomes: dict[str, RowOutcome] = {}
        later = self._pass(transaction, rows, outcomes, last=False)
        if later:
            self._pass(transaction, later, outcomes, last=True)
        return [outcomes[row.sys_id] for row in rows]

    def _pass(
        self,
        transaction: RecordTransaction,
        rows: Sequence[Record],
        outcomes: dict[str, RowOutcome],
        *,
        last: bool,
    ) -> list[Record]:
        """Transform what can be transformed now; return the rows to take up later."""
        self._last = last
        self._found.clear()
        self._look_up(transaction, rows, self._map.fields)
        ready: list[Ready] = []
        later: list[Record] = []
        for row in rows:
            try:
                ready.append(Ready(row, self._values(transaction, row)))
            except RowRejected as error:
                outcomes[row.sys_id] = RowOutcome(row, "error", error.message, error.number)
            except NotYet:
                later.append(row)
        for batch in self._batches(transaction, ready):
            for outcome in self._apply(transaction, batch):
                outcomes[outcome.row.sys_id] = outcome
        return later

    # Values

    def _values(
        self,
        transaction: RecordTransaction,
        row: Record,
        field_maps: Sequence[FieldMap] | None = None,
    ) -> dict[str, str]:
        """Return the values by target field, of some field maps or of all.

        Whatever has to be created for them is created last, so that a row which is refused leaves
        nothing behind.
        """
        values: dict[str, str] = {}
        missing: list[Missing] = []
        fields = transaction.dictionary.table(self._map.target).fields
        for field_map in self._map.fields if field_maps is None else field_maps:
            text = self._source(field_map, row)
            if text == "" and not self._map.copy_empty and not field_map.coalesce:
                continue
            field = fields[field_map.target]
            value = "" if text == CLEAR else self._value(transaction, field_map, field, text)
            if isinstance(value, Missing):
                missing.append(value)
            elif value is not None:
                values[field_map.target] = value
        for wanted in missing:
            made = self._create(transaction, wanted)
            if made is not None:
                values[wanted.field_map.target] = made
        return values

    def _source(self, field_map: FieldMap, row: Record) -> str:
        if not field_map.script:
            return row.get(field_map.source)
        if self._script is None:
            raise RowRejected(SCRIPT_FAILED, f"{field_map.target}: scripts are not available")
        try:
            return self._script(field_map.script_name, field_map.script, row)
        except MidspanError as error:
            raise RowRejected(SCRIPT_FAILED, f"{field_map.target}: {error.explain()}") from error

    def _value(
        self, transaction: RecordTransaction, field_map: FieldMap, field: Field, text: str
    ) -> str | Missing | None:
        """Return the target's text in its canonical form; None leaves the field alone."""
        if text == "":
            return ""
        if field.kind.reference and field.reference in transaction.dictionary:
            return self._reference(transaction, field_map, field, text)
        if field.choices:
            return self._choice(field_map, field, text)
        if field.storage in (Storage.DATETIME, Storage.DATE) and field_map.date_format:
            text = self._date(field_map, field, text)
        try:
            return canonical(field, text)
        except InvalidValue as error:
            raise RowRejected(INVALID_TARGET, error.explain()) from error

    def _date(self, field_map: FieldMap, field: Field, text: str) -> str:
        zone = self._zone if field.storage is Storage.DATETIME else "UTC"
        try:
            return from_display(text, zone, field_map.date_format)
        except InvalidValue as error:
            raise RowRejected(
                INVALID_TARGET,
                f"{field_map.target}: {text!r} is no date of the form {field_map.date_format}",
            ) from error

    def _reference(
        self, transaction: RecordTransaction, field_map: FieldMap, field: Field, text: str
    ) -> str | Missing | None:
        key = (field_map.target, fold(text))
        if field_map.script and key not in self._found:
            self._look_up_field(transaction, field_map, field, (text,))
        found = self._found.get(key)
        if found is not None:
            return found
        table = field.reference or ""
        if table == self._map.target and not self._last:
            raise NotYet
        if field_map.choice_action == "ignore":
            return None
        if field_map.choice_action == "reject":
            raise RowRejected(
                REFERENCE_REJECTED,
                f"{field_map.target}: {table} has no record {text!r} and none may be created",
            )
        return Missing(field_map, field, text)

    def _choice(self, field_map: FieldMap, field: Field, text: str) -> str | Missing | None:
        for choice in field.choices:
            if fold(text) in (fold(choice.value), fold(choice.label)):
                return choice.value
        if field_map.choice_action == "ignore":
            return None
        if field_map.choice_action == "reject":
            raise RowRejected(
                CHOICE_REJECTED, f"{field_map.target}: {text!r} is not in the choice list"
            )
        if field.storage is not Storage.TEXT:
            raise RowRejected(
                INVALID_TARGET, f"{field_map.target}: {text!r} fits no choice of a {field.type}"
            )
        return self._choices.get((field_map.target, fold(text))) or Missing(field_map, field, text)

    def _create(self, transaction: RecordTransaction, wanted: Missing) -> str | None:
        """Create what a value needs, once for all rows that need it; None leaves its field out."""
        field_map, field, text = wanted.field_map, wanted.field, wanted.text
        key = (field_map.target, fold(text))
        if field.kind.reference:
            known = self._found.get(key)
            if known is None:
                name = display_field(transaction.dictionary, field, field_map.reference_field)
                made = transaction.apply(insert(field.reference or "", {name: text}))
                known = self._found[key] = made.sys_id
            return known
        if key not in self._choices:
            values = {"name": field.table, "element": field.name, "language": "en"}
            transaction.apply(insert("sys_choice", {**values, "value": text, "label": text}))
            self._choices[key] = text
        return self._choices[key]

    # Look-ups

    def _look_up(
        self,
        transaction: RecordTransaction,
        rows: Sequence[Record],
        field_maps: Sequence[FieldMap],
    ) -> None:
        """Find every referenced record of the page with one query for each field."""
        dictionary = transaction.dictionary
        fields = dictionary.table(self._map.target).fields
        for field_map in field_maps:
            field = fields[field_map.target]
            if field.kind.reference and field.reference in dictionary and not field_map.script:
                texts = {row.get(field_map.source) for row in rows} - {"", CLEAR}
                self._look_up_field(transaction, field_map, field, sorted(texts))

    def _look_up_field(
        self,
        transaction: RecordTransaction,
        field_map: FieldMap,
        field: Field,
        texts: Sequence[str],
    ) -> None:
        if not texts:
            return
        dictionary, table = transaction.dictionary, field.reference or ""
        name = display_field(dictionary, field, field_map.reference_field)
        by_name, by_id = dictionary.path(table, name), dictionary.path(table, "sys_id")
        plan = ReadPlan(
            table=table,
            columns=(by_id, by_name),
            condition=Test(by_name, Operator.IN, tuple(texts)),
            order=(Sort(by_id),),
        )
        for sys_id, text in transaction.run(plan):
            self._found.setdefault((field_map.target, fold(text)), sys_id)
        ids = tuple(text for text in texts if len(text) == 32)
        if ids:
            plan = ReadPlan(table=table, columns=(by_id,), condition=Test(by_id, Operator.IN, ids))
            for (sys_id,) in transaction.run(plan):
                self._found.setdefault((field_map.target, fold(sys_id)), sys_id)

    # Coalesce

    def _batches(
        self, transaction: RecordTransaction, ready: Sequence[Ready]
    ) -> Iterable[list[Ready]]:
        """Cut where a key comes a second time, so that the second row meets the first's record."""
        batch: list[Ready] = []
        seen: set[tuple[str, ...]] = set()
        for item in ready:
            key = self._key(item.values)
            if key in seen:
                yield batch
                batch, seen = [], set()
            batch.append(item)
            if self._can_match(item):
                seen.add(key)
        if batch:
            yield batch

    def _can_match(self, item: Ready) -> bool:
        """Tell whether a record may have this row's keys: an empty one needs its flag for that."""
        keys = self._map.keys
        if self._map.is_conditional and item.values.get("sys_id") == NO_RECORD:
            return False
        return bool(keys) and all(item.values.get(k.target) or k.coalesce_empty for k in keys)

    def _key(self, values: dict[str, str]) -> tuple[str, ...]:
        return tuple(
            values.get(key.target, "") if key.case_sensitive else fold(values.get(key.target, ""))
            for key in self._map.keys
        )

    def _matches(
        self, transaction: RecordTransaction, batch: Sequence[Ready]
    ) -> dict[tuple[str, ...], str]:
        """Return the first target record of each key that exists."""
        keys = self._map.keys
        wanted = [item for item in batch if self._can_match(item)]
        if not wanted:
            return {}
        dictionary, table = transaction.dictionary, self._map.target
        paths = [dictionary.path(table, key.target) for key in keys]
        tests: list[Condition] = []
        for key, path in zip(keys, paths, strict=True):
            texts = {item.values.get(key.target, "") for item in wanted}
            parts = [Test(path, Operator.IS_EMPTY)] if "" in texts else []
            if filled := tuple(sorted(texts - {""})):
                parts.append(Test(path, Operator.IN, filled))
            tests.append(Or(tuple(parts)))
        by_id = dictionary.path(table, "sys_id")
        plan = ReadPlan(
            table=table,
            columns=(by_id, *paths),
            condition=And(tuple(tests)),
            order=(Sort(dictionary.path(table, "sys_created_on")), Sort(by_id)),
        )
        found: dict[tuple[str, ...], str] = {}
        for row in transaction.run(plan):
            present = {key.target: text or "" for key, text in zip(keys, row[1:], strict=True)}
            found.setdefault(self._key(present), row[0])
        return found

    def _decide(self, item: Ready, matches: dict[tuple[str, ...], str]) -> str | None:
        """Return the record to update, ``''`` to insert, None to skip."""
        keys = self._map.keys
        if not keys:
            return ""
        if self._map.is_conditional:
            return matches.get(self._key(item.values), "")
        empty = [key for key in keys if not item.values.get(key.target)]
        if len(empty) == len(keys) and not any(key.coalesce_empty for key in keys):
            return "" if self._map.create_on_empty else None
        if not self._can_match(item):
            return ""
        return matches.get(self._key(item.values), "")

    # Writing

    def _apply(self, transaction: RecordTransaction, batch: Sequence[Ready]) -> list[RowOutcome]:
        matches = self._matches(transaction, batch)
        outcomes: list[RowOutcome] = []
        changes: list[Change] = []
        changed: list[Ready] = []
        for item in batch:
            target = self._decide(item, matches)
            lacking = self._lacking(transaction, item, target)
            if lacking:
                reason = f"The following fields are mandatory: {', '.join(lacking)}"
                outcomes.append(RowOutcome(item.row, "error", reason, INVALID_TARGET))
            elif target is None:
                names = ", ".join(key.target for key in self._map.keys)
                outcomes.append(
                    RowOutcome(
                        item.row, "skipped", f"All coalesce fields are empty: {names}", SKIPPED
                    )
                )
            else:
                changed.append(item)
                changes.append(self._change(item, target))
        # Inserts first and updates after them: each kind then goes through as one set.
        order = sorted(range(len(changes)), key=lambda n: changes[n].operation is Operation.UPDATE)
        results = transaction.apply_all([changes[n] for n in order], collect=True)
        for position, result in zip(order, results, strict=True):
            outcomes.append(outcome_of(changed[position].row, result))
        return outcomes

    def _lacking(
        self, transaction: RecordTransaction, item: Ready, target: str | None
    ) -> list[str]:
        """Return the mapped mandatory fields that would stay or become empty."""
        if self._map.mandatory != "Only mapped" or target is None:
            return []
        fields = transaction.dictionary.table(self._map.target).fields
        mapped = [fields[each.target] for each in self._map.fields if fields[each.target].mandatory]
        inserted = target == ""
        return [
            field.name
            for field in mapped
            if not item.values.get(field.name, "" if inserted and not field.default else "kept")
        ]

    def _change(self, item: Ready, target: str) -> Change:
        options = ChangeOptions(rules=self._map.run_rules, mandatory=self._map.mandatory == "All")
        if self._map.is_conditional and not _SYS_ID.fullmatch(item.values.get("sys_id", "")):
            # "-1" says that there is no such record; it is no id for the new one
            item = Ready(item.row, {**item.values, "sys_id": ""})
        return Change(
            table=self._map.target,
            operation=Operation.UPDATE if target else Operation.INSERT,
            sys_id=target,
            values=item.values,
            options=options,
        )


def outcome_of(row: Record, result: Applied | Refused | Any) -> RowOutcome:
    """Return what a write made of a row."""
    if isinstance(result, Refused):
        return RowOutcome(row, "error", result.error.explain(), INVALID_TARGET)
    if not result.written:
        state, comment = "ignored", NOTHING_CHANGED
    else:
        state = "inserted" if result.operation is Operation.INSERT else "updated"
        comment = ""
    return RowOutcome(row, state, comment, 0, result.sys_id, result.table)
