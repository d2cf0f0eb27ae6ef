"""Items that cannot be identified yet: kept, and taken again with what completes them.

A partial item has something by which it will be known again, such as its source's own key. What
has not, or is wrong in another way, is kept for people only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import msgspec
import orjson

from midspan.cmdb.identify import keys_of
from midspan.cmdb.outcome import ItemOutcome, Problem
from midspan.cmdb.payload import (
    Item,
    Payload,
    Place,
    Reference,
    Relation,
    read_payload,
    write_payload,
)
from midspan.cmdb.prepare import Prepared
from midspan.cmdb.search import Search
from midspan.dictionary import Dictionary
from midspan.dictionary.values import datetime_text
from midspan.kernel.ids import derived_id
from midspan.records import RecordTransaction
from midspan.storage import Statements

PARTIAL = frozenset(
    {
        "MISSING_MATCHING_ATTRIBUTES",
        "REQUIRED_ATTRIBUTE_EMPTY",
        "MISSING_DEPENDENCY",
        "INSERT_NOT_ALLOWED_FOR_SOURCE",
    }
)
"""The errors that another payload may mend."""
PAYLOADS = "cmdb_ire_partial_payloads"
INDEX = "cmdb_ire_partial_payloads_index"
INCOMPLETE = "cmdb_ire_incomplete_payloads"
KEPT = timedelta(days=90)
KEPT_INCOMPLETE = timedelta(days=7)
_MOST = 200
"""Stored payloads that one payload takes up."""


def key_names(prepared: Prepared, dictionary: Dictionary) -> list[str]:
    """Return the index keys of an item: nothing of its values can be read from them."""
    if prepared.problem or not prepared.rules:
        return []
    keys = keys_of(prepared.subject(), prepared.rules[0], dictionary)
    return [derived_id("identifier_key", *key) for key in keys]


def stored_for(search: Search, names: Iterable[str], but: Iterable[str]) -> dict[str, Payload]:
    """Return the stored partial payloads that have an item with one of these keys."""
    passed = set(but)
    found: dict[str, Payload] = {}
    for name in names:
        for row in search.rows(INDEX, {"identifier_key": name}):
            sys_id = row.get("partial_payload")
            if sys_id in passed or len(found) >= _MOST:
                continue
            passed.add(sys_id)
            for stored in search.rows(PAYLOADS, {"sys_id": sys_id}):
                found[sys_id] = _restored(sys_id, stored.get("payload"))
    return found


def _restored(sys_id: str, text: str) -> Payload:
    payload = read_payload(orjson.loads(text))
    items = [
        msgspec.structs.replace(
            item, indices=(), merged=(sys_id,), anchor=set(item.values) == {"sys_id"}
        )
        for item in payload.items
    ]
    relations = tuple(msgspec.structs.replace(each, index=None) for each in payload.relations)
    return msgspec.structs.replace(payload, items=tuple(items), relations=relations)


def joined(payload: Payload, more: Iterable[Payload]) -> Payload:
    """Return one payload of several; the items of the first one keep their places."""
    items, relations, references = (
        list(payload.items),
        list(payload.relations),
        list(payload.references),
    )
    for each in more:
        by = len(items)
        items += (_own_name(item) for item in each.items)
        relations += (
            msgspec.structs.replace(r, parent=_shift(r.parent, by), child=_shift(r.child, by))
            for r in each.relations
        )
        references += (
            Reference(_shift(r.by, by), r.field, _shift(r.to, by)) for r in each.references
        )
    return Payload(items=tuple(items), relations=tuple(relations), references=tuple(references))


def _own_name(item: Item) -> Item:
    """Drop the names of a stored payload: they mean nothing in another one."""
    return msgspec.structs.replace(item, internal_id="")


def _shift(place: Place, by: int) -> Place:
    return msgspec.structs.replace(place, item=place.item + by)


class PartialStore:
    """Keeps what could not be taken; the caller acts for the instance itself."""

    def __init__(self, transaction: RecordTransaction, dictionary: Dictionary) -> None:
        self._transaction = transaction
        self._dictionary = dictionary
        self._sql = Statements("midspan.cmdb", "cmdb", transaction.database.dialect)

    def keep(
        self,
        payload: Payload,
        prepared: Sequence[Prepared],
        outcomes: Sequence[ItemOutcome],
        partial: Iterable[int],
        source: str,
    ) -> None:
        """Store partial items, each with those that it belongs to, and note where."""
        for group in _groups(payload, sorted(partial)):
            part = _part(payload, outcomes, group)
            ids = self._insert(
                PAYLOADS, part, source, [p for i in group for p in outcomes[i].warnings]
            )
            names = {name for i in group for name in key_names(prepared[i], self._dictionary)}
            self._transaction.engine_insert(
                INDEX,
                [{"identifier_key": name, "partial_payload": ids} for name in sorted(names)],
            )
            for index in group:
                outcomes[index].stored_as.append(ids)

    def keep_incomplete(
        self, items: Sequence[Item], problems: Sequence[Problem], source: str
    ) -> str:
        """Store items for people to look at."""
        bare = tuple(msgspec.structs.replace(item, internal_id="") for item in items)
        return self._insert(INCOMPLETE, Payload(items=bare), source, problems)

    def forget(self, sys_ids: Iterable[str]) -> None:
        """Delete payloads that were taken up."""
        for sys_id in sys_ids:
            if self._transaction.engine_delete(PAYLOADS, sys_id):
                self._transaction.database.execute(self._sql["forget_index"], (sys_id,))

    def _insert(
        self, table: str, payload: Payload, source: str, problems: Sequence[Problem]
    ) -> str:
        now = self._transaction.now
        sys_id = self._transaction.store.ids.sys_id()
        for name, kept in (("partial", KEPT), ("index", KEPT), ("incomplete", KEPT_INCOMPLETE)):
            self._transaction.database.execute(
                self._sql[f"sweep_{name}"], (datetime_text(now - kept),)
            )
        told = "\n".join(f"{each.code} {each.message}" for each in problems)
        row: Mapping[str, str] = {
            "sys_id": sys_id,
            "discovery_source": source,
            "errors": told[:4000],
            "payload": orjson.dumps(write_payload(payload)).decode(),
        }
        self._transaction.engine_insert(table, [row])
        return sys_id


def _groups(payload: Payload, partial: Sequence[int]) -> list[list[int]]:
    """Return partial items that relations or references join."""
    first = {index: index for index in partial}

    def root(index: int) -> int:
        while first[index] != index:
            index = first[index]
        return index

    pairs = [(r.parent.item, r.child.item) for r in payload.relations]
    pairs += [(r.by.item, r.to.item) for r in payload.references]
    for one, other in pairs:
        if one in first and other in first:
            low, high = sorted((root(one), root(other)))
            first[high] = low
    groups: dict[int, list[int]] = {}
    for index in partial:
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _part(payload: Payload, outcomes: Sequence[ItemOutcome], group: Sequence[int]) -> Payload:
    """Return a group as a payload of its own; stored items it is related to come as their ids."""
    items = [msgspec.structs.replace(payload.items[index], internal_id="") for index in group]
    place = {index: position for position, index in enumerate(group)}
    relations: list[Relation] = []
    for relation in payload.relations:
        ends = (relation.parent, relation.child)
        if not any(end.item in place for end in ends):
            continue
        for end in ends:
            outcome = outcomes[end.item]
            if end.item not in place and not outcome.failed and outcome.sys_id and not end.part:
                place[end.item] = len(items)
                items.append(Item(cls=outcome.cls, values={"sys_id": outcome.sys_id}))
        if all(end.item in place for end in ends):
            relations.append(
                msgspec.structs.replace(
                    relation,
                    parent=_at(relation.parent, place),
                    child=_at(relation.child, place),
                )
            )
    references = tuple(
        Reference(_at(each.by, place), each.field, _at(each.to, place))
        for each in payload.references
        if each.by.item in place and each.to.item in place
    )
    return Payload(items=tuple(items), relations=tuple(relations), references=references)


def _at(place: Place, positions: Mapping[int, int]) -> Place:
    return msgspec.structs.replace(place, item=positions[place.item])
