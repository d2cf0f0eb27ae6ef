"""Items of a payload made ready: classes checked, values as wire texts, equal items made one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import orjson
from msgspec import Struct

from midspan.cmdb.identify import Subject, keys_of
from midspan.cmdb.outcome import Problem, Refusal
from midspan.cmdb.payload import Item, Payload, Place, Reference, Relation, SubItem
from midspan.cmdb.rule import Rule, RuleBook
from midspan.dictionary import Dictionary, Field, Storage, Table
from midspan.dictionary.values import canonical
from midspan.kernel.errors import InvalidValue, did_you_mean
from midspan.records import RecordTransaction
from midspan.records.lookup import resolve_reference


class Prepared(Struct, kw_only=True):
    """An item that may be looked up: canonical texts by field, of fields that exist."""

    item: Item
    cls: str
    rules: list[Rule] = []
    values: dict[str, str] = {}
    lookup: tuple[SubItem, ...] = ()
    related: tuple[SubItem, ...] = ()
    sys_id: str = ""
    warnings: list[Problem] = []
    problem: Problem | None = None

    def subject(self) -> Subject:
        """Return what identification looks at."""
        return Subject(
            cls=self.cls,
            values=self.values,
            lookup=self.lookup,
            source=self.item.source,
            sys_id=self.sys_id,
        )


class Cleaner:
    """Turns what a payload says into wire texts, for one transaction."""

    def __init__(self, transaction: RecordTransaction, book: RuleBook) -> None:
        self._transaction = transaction
        self._dictionary = transaction.dictionary
        self._book = book

    def prepare(self, item: Item) -> Prepared:
        """Return an item made ready; its ``problem`` says why it cannot be looked up."""
        made = Prepared(item=item, cls=item.cls, rules=[], values={}, warnings=[])
        try:
            self._prepare(item, made)
        except Refusal as refused:
            made.problem = refused.problem
        return made

    def _prepare(self, item: Item, made: Prepared) -> None:
        made.cls = self._class(item.cls, item.values.get("sys_class_name", ""))
        made.sys_id = item.values.get("sys_id", "")
        if item.anchor:
            stored = self._transaction.load(made.cls, (made.sys_id,)).get(made.sys_id)
            made.cls = stored.table if stored else made.cls
            return
        made.rules = self._book.rules(self._dictionary, made.cls)
        if not made.rules:
            raise Refusal(
                "IDENTIFICATION_RULE_MISSING", f"Identity Rule Missing for table [{made.cls}]"
            )
        table = self._dictionary.table(made.cls)
        made.values = self.clean(table, {**item.shown, **item.values}, made.warnings)
        made.lookup = tuple(self._sub(sub, made.warnings) for sub in item.lookup)
        made.related = tuple(self._sub(sub, made.warnings) for sub in item.related)

    def _sub(self, sub: SubItem, warnings: list[Problem]) -> SubItem:
        cls = self._class(sub.cls, sub.values.get("sys_class_name", ""))
        values = self.clean(self._dictionary.table(cls), sub.values, warnings)
        return msgspec.structs.replace(sub, cls=cls, values=values)

    def _class(self, name: str, exact: str) -> str:
        """Return the class of an item: the more exact one that its values name, if any."""
        if name not in self._dictionary:
            raise Refusal(
                "INVALID_INPUT_DATA",
                f"No such table [{name[:80]}]",
                hint=did_you_mean(name, self._dictionary.tables),
            )
        return exact if exact and self._dictionary.is_a(exact, name) else name

    def clean(
        self, table: Table, given: Mapping[str, str], warnings: list[Problem]
    ) -> dict[str, str]:
        """Return the wire texts of the fields that the table has and an item may say.

        Raises:
            Refusal: a text does not fit the type of its field.
        """
        values: dict[str, str] = {}
        for name, text in given.items():
            field = table.fields.get(name)
            if field is None:
                warnings.append(_unknown(table, name))
            elif not name.startswith("sys_") and field.storage is not Storage.NONE:
                values[name] = self._text(table, field, text.strip())
        return values

    def _text(self, table: Table, field: Field, text: str) -> str:
        if field.kind.reference:
            return resolve_reference(self._transaction, field, text) or ""
        try:
            text = canonical(field, text)
        except InvalidValue as error:
            raise Refusal(
                "INVALID_INPUT_DATA",
                f"Invalid value [{text[:80]}] for field [{field.name}] in table [{table.name}]",
                hint=error.message,
            ) from error
        cut = field.storage is Storage.TEXT and not field.kind.secret and not field.kind.multiple
        return text[: field.max_length] if cut else text


def _unknown(table: Table, name: str) -> Problem:
    hint = did_you_mean(name, table.fields)
    told = f"No such field [{name[:80]}] in table [{table.name}]; it is left out"
    return Problem("INVALID_INPUT_DATA", f"{told}. {hint}" if hint else told)


class Groups(Struct, frozen=True):
    """Which items of a payload mean the same one: for each the first of its group."""

    first: tuple[int, ...]
    shared: Mapping[tuple[int, int], tuple[str, ...]]
    """For pairs of equal items what they have in common."""


def group_equal(
    prepared: Sequence[Prepared], hosts: Mapping[int, int], dictionary: Dictionary
) -> Groups:
    """Group items that share something by which they would be known.

    ``hosts`` gives the item that a dependent one stands beside; only items beside the same one are
    compared.
    """
    first = list(range(len(prepared)))

    def root(index: int) -> int:
        while first[index] != index:
            index = first[index]
        return index

    seen: dict[tuple[str, ...], int] = {}
    shared: dict[tuple[int, int], tuple[str, ...]] = {}
    for index in sorted(range(len(prepared)), key=lambda each: _depth(each, hosts)):
        each = prepared[index]
        if each.problem or not each.rules:
            continue
        beside = str(root(hosts[index])) if index in hosts else ""
        for key in keys_of(each.subject(), each.rules[0], dictionary):
            other = seen.setdefault((beside, *key), index)
            if other != index:
                low, high = sorted((root(other), root(index)))
                first[high] = low
                shared[min(other, index), max(other, index)] = key
    return Groups(tuple(map(root, range(len(prepared)))), shared)


def _depth(index: int, hosts: Mapping[int, int]) -> int:
    depth = 0
    while index in hosts and depth < len(hosts) + 1:
        index, depth = hosts[index], depth + 1
    return depth


def merge(payload: Payload, groups: Groups, dictionary: Dictionary) -> Payload:
    """Return the payload with one item for each group.

    What several say of a field is taken from the one looked at last by its source; without times
    the order of the payload does not matter either. The class is the most exact one.
    """
    members_of: dict[int, list[int]] = {}
    for index, first in enumerate(groups.first):
        members_of.setdefault(first, []).append(index)
    offsets: dict[Place, Place] = {}
    items: list[Item] = []
    for position, members in enumerate(members_of.values()):
        made = _merged(payload.items, members, position, offsets)
        classes = [payload.items[index].cls for index in members]
        if len(members) > 1:
            deepest = max(classes, key=lambda cls: (len(dictionary.ancestors(cls)), cls))
            made = msgspec.structs.replace(made, cls=deepest)
        items.append(made)
    return Payload(
        items=tuple(items),
        relations=tuple(_moved_relation(each, offsets) for each in payload.relations),
        references=tuple(
            Reference(offsets[each.by], each.field, offsets[each.to]) for each in payload.references
        ),
    )


def _merged(
    items: Sequence[Item], members: list[int], position: int, offsets: dict[Place, Place]
) -> Item:
    members.sort(key=lambda index: recency_of(items[index]))
    lookup: list[SubItem] = []
    related: list[SubItem] = []
    for index in members:
        offsets[Place(index)] = Place(position)
        for part, rows, into in (
            ("lookup", items[index].lookup, lookup),
            ("related", items[index].related, related),
        ):
            for row in range(len(rows)):
                offsets[Place(index, part, row)] = Place(position, part, len(into) + row)
            into.extend(rows)
    last = items[members[-1]]
    parts = [items[index] for index in members]
    return msgspec.structs.replace(
        last,
        values=_joined(part.values for part in parts),
        shown=_joined(part.shown for part in parts),
        internal_id=next((part.internal_id for part in parts if part.internal_id), ""),
        lookup=tuple(lookup),
        related=tuple(related),
        source=next((part.source for part in reversed(parts) if part.source), None),
        indices=tuple(sorted(index for part in parts for index in part.indices)),
        merged=tuple(sorted({name for part in parts for name in part.merged})),
        anchor=all(part.anchor for part in parts),
    )


def _joined(each: Iterable[Mapping[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for values in each:
        joined.update(values)
    return joined


def recency_of(item: Item) -> tuple[str, bool, bytes]:
    """What came back from a partial payload is older than what is sent now."""
    recency = item.source.recency if item.source else ""
    return recency, bool(item.indices), orjson.dumps(dict(sorted(item.values.items())))


def _moved_relation(each: Relation, offsets: Mapping[Place, Place]) -> Relation:
    return msgspec.structs.replace(each, parent=offsets[each.parent], child=offsets[each.child])
