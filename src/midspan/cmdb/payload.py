"""A payload: items with their rows of side tables, relations and references among them. Pure.

Source: the vendor's documentation of the Identification and Reconciliation API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct

from midspan.formats import JsonValue, lenient_json
from midspan.kernel.errors import MalformedBody

MOST_ITEMS = 10_000
"""Items and relations of one payload, each."""
_Object: TypeAlias = Mapping[str, JsonValue]


class SourceInfo(Struct, frozen=True):
    """How the source itself calls an item; ``recency`` is when it looked, or ``''``."""

    name: str
    key: str
    feed: str = ""
    recency: str = ""


class SubItem(Struct, frozen=True, kw_only=True):
    """A row of a side table that refers to its item."""

    cls: str
    values: Mapping[str, str] = {}
    internal_id: str = ""
    source: SourceInfo | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """What an item says about changes of its class; None: as the instance is set."""

    upgrade: bool | None = None
    downgrade: bool | None = None
    switch: bool | None = None
    without_upgrade: bool = False
    without_downgrade: bool = False
    without_switch: bool = False
    unrestricted: bool = False


class Item(Struct, frozen=True, kw_only=True):
    """One configuration item as a source describes it."""

    cls: str
    values: Mapping[str, str] = {}
    shown: Mapping[str, str] = {}
    """Reference fields given by what people see."""
    internal_id: str = ""
    lookup: tuple[SubItem, ...] = ()
    related: tuple[SubItem, ...] = ()
    settings: Settings = Settings()
    source: SourceInfo | None = None
    indices: tuple[int, ...] = ()
    """Its places in the payload; several where equal items were made one, none if it came back."""
    merged: tuple[str, ...] = ()
    """Stored partial payloads that it was completed from."""
    anchor: bool = False
    """It stands for the stored item with the ``sys_id`` of its values; nothing of it is written."""


class Place(Struct, frozen=True, order=True):
    """Where something stands: an item, or one row of its ``lookup`` or ``related`` list."""

    item: int
    part: str = ""
    row: int = -1


class Relation(Struct, frozen=True, kw_only=True):
    """A relation between two places; ``type`` is the name of its type."""

    parent: Place
    child: Place
    type: str
    index: int | None = None
    """Its place in the payload; None if it came back from a partial payload."""


class Reference(Struct, frozen=True):
    """A reference field of one place that is to hold another one."""

    by: Place
    field: str
    to: Place


class Payload(Struct, frozen=True, kw_only=True):
    """What a source reports in one go."""

    items: tuple[Item, ...] = ()
    relations: tuple[Relation, ...] = ()
    references: tuple[Reference, ...] = ()


def read_payload(body: JsonValue) -> Payload:
    """Read a payload.

    >>> payload = read_payload({"items": [{"className": "cmdb_ci", "values": {"name": "a"}}]})
    >>> payload.items[0].cls, dict(payload.items[0].values), payload.items[0].indices
    ('cmdb_ci', {'name': 'a'}, (0,))

    Raises:
        MalformedBody: names the place of what is not as expected, or too large.
    """
    if not isinstance(body, dict):
        raise MalformedBody("Expected an object with the member items", hint=_EXAMPLE)
    listed = _list(body, "items", "")
    if not listed:
        raise MalformedBody("Expected at least one item", hint=_EXAMPLE)
    items = tuple(_item(each, index) for index, each in enumerate(listed))
    places = _places(items)
    return Payload(
        items=items,
        relations=tuple(
            _relation(each, index, len(items), places)
            for index, each in enumerate(_list(body, "relations", ""))
        ),
        references=tuple(
            _reference(each, f"referenceItems[{index}]", places)
            for index, each in enumerate(_list(body, "referenceItems", ""))
        ),
    )


def write_payload(payload: Payload) -> dict[str, JsonValue]:
    """Return the document that ``read_payload`` reads back; ends are named by internal ids.

    >>> write_payload(read_payload({"items": [{"className": "cmdb_ci", "values": {"name": "a"}}]}))
    {'items': [{'className': 'cmdb_ci', 'values': {'name': 'a'}, 'internal_id': '0'}]}
    """
    names = {place: name or _made_name(place) for name, place in _named(payload.items)}
    body: dict[str, JsonValue] = {
        "items": [_written(item, index, names) for index, item in enumerate(payload.items)]
    }
    if payload.relations:
        body["relations"] = [
            {"parent_id": names[each.parent], "child_id": names[each.child], "type": each.type}
            for each in payload.relations
        ]
    if payload.references:
        body["referenceItems"] = [
            {"referencedBy": names[r.by], "referenceField": r.field, "referenced": names[r.to]}
            for r in payload.references
        ]
    return body


def _made_name(place: Place) -> str:
    return f"{place.item}.{place.part}.{place.row}" if place.part else str(place.item)


def _written(item: Item, index: int, names: Mapping[Place, str]) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {"className": item.cls, "values": dict(item.values)}
    if item.shown:
        body["display_values"] = dict(item.shown)
    body["internal_id"] = names[Place(index)]
    _write_source(body, item.source)
    for part in ("lookup", "related"):
        subs: tuple[SubItem, ...] = getattr(item, part)
        if subs:
            body[part] = [
                _written_sub(sub, names[Place(index, part, row)]) for row, sub in enumerate(subs)
            ]
    return body


def _written_sub(sub: SubItem, name: str) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {"className": sub.cls, "values": dict(sub.values)}
    body["internal_id"] = name
    _write_source(body, sub.source)
    return body


def _write_source(body: dict[str, JsonValue], source: SourceInfo | None) -> None:
    if source is not None:
        body["sys_object_source_info"] = {
            "source_name": source.name,
            "source_native_key": source.key,
            "source_feed": source.feed,
            "source_recency_timestamp": source.recency,
        }


_EXAMPLE = '{"items": [{"className": "cmdb_ci_linux_server", "values": {"name": "web01"}}]}'


def _item(each: JsonValue, index: int) -> Item:
    place = f"items[{index}]"
    given = _object(each, place)
    settings = _object(given.get("settings") or {}, f"{place}.settings")
    return Item(
        cls=_class(given, place),
        values=_texts(given, "values", place),
        shown=_texts(given, "display_values", place),
        internal_id=text_of(given.get("internal_id")),
        lookup=_sub_items(given, "lookup", place),
        related=_sub_items(given, "related", place),
        settings=_settings(given, settings),
        source=_source(given, place),
        indices=(index,),
    )


def _settings(given: _Object, settings: _Object) -> Settings:
    return Settings(
        upgrade=_flag(given, "classUpgrade"),
        downgrade=_flag(given, "classDowngrade"),
        switch=_flag(given, "classSwitch"),
        without_upgrade=bool(_flag(settings, "updateWithoutUpgrade")),
        without_downgrade=bool(_flag(settings, "updateWithoutDowngrade")),
        without_switch=bool(_flag(settings, "updateWithoutSwitch")),
        unrestricted=bool(_flag(settings, "skipReclassificationRestrictionRules")),
    )


def _sub_items(given: _Object, name: str, place: str) -> tuple[SubItem, ...]:
    return tuple(
        _sub_item(each, f"{place}.{name}[{index}]")
        for index, each in enumerate(_list(given, name, f"{place}."))
    )


def _sub_item(each: JsonValue, place: str) -> SubItem:
    given = _object(each, place)
    return SubItem(
        cls=_class(given, place),
        values=_texts(given, "values", place),
        internal_id=text_of(given.get("internal_id")),
        source=_source(given, place),
    )


def _class(given: _Object, place: str) -> str:
    """Return the class; the member ``sys_class_name`` of the values may be more exact."""
    name = text_of(given.get("className"))
    if not name:
        raise MalformedBody(f"{place} has no className", hint=_EXAMPLE)
    return name


def _source(given: _Object, place: str) -> SourceInfo | None:
    """Return how the source calls it, where it says so completely."""
    info = _object(given.get("sys_object_source_info") or {}, f"{place}.sys_object_source_info")
    name, key = (text_of(info.get(f"source_{part}")) for part in ("name", "native_key"))
    if not name or not key:
        return None
    feed, recency = (text_of(info.get(f"source_{p}")) for p in ("feed", "recency_timestamp"))
    return SourceInfo(name, key, feed, recency)


def _places(items: tuple[Item, ...]) -> dict[str, Place]:
    """Return places by their internal ids; main items and rows of side tables share them."""
    found: dict[str, Place] = {}
    for name, place in _named(items):
        if name and found.setdefault(name, place) != place:
            raise MalformedBody(
                f"The internal_id {name[:80]} is given twice", hint="Give each its own."
            )
    return found


def _named(items: tuple[Item, ...]) -> Iterator[tuple[str, Place]]:
    for index, item in enumerate(items):
        yield item.internal_id, Place(index)
        for part in ("lookup", "related"):
            for row, sub in enumerate(getattr(item, part)):
                yield sub.internal_id, Place(index, part, row)


def _relation(each: JsonValue, index: int, count: int, places: Mapping[str, Place]) -> Relation:
    place = f"relations[{index}]"
    given = _object(each, place)
    ends = []
    for end in ("parent", "child"):
        if f"{end}_id" in given:
            ends.append(_by_id(given, f"{end}_id", place, places))
        else:
            ends.append(_by_index(given, end, place, count))
    return Relation(parent=ends[0], child=ends[1], type=text_of(given.get("type")), index=index)


def _by_index(given: _Object, end: str, place: str, count: int) -> Place:
    text = text_of(given.get(end))
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
    if not 0 <= number < count:
        raise MalformedBody(
            f"Payload relations '{place}' has invalid {end} record index: [{text[:80]}]",
            hint=f"Items are numbered from 0 to {count - 1}.",
        )
    return Place(number)


def _by_id(given: _Object, member: str, place: str, places: Mapping[str, Place]) -> Place:
    name = text_of(given.get(member))
    if name not in places:
        raise MalformedBody(
            f"{place}.{member} names {name[:80]!r}, which is the internal_id of nothing"
        )
    return places[name]


def _reference(each: JsonValue, place: str, places: Mapping[str, Place]) -> Reference:
    given = _object(each, place)
    return Reference(
        by=_by_id(given, "referencedBy", place, places),
        field=text_of(given.get("referenceField")),
        to=_by_id(given, "referenced", place, places),
    )


def _object(value: JsonValue, place: str) -> _Object:
    if not isinstance(value, dict):
        raise MalformedBody(f"{place} is no object", hint=_EXAMPLE)
    return value


def _list(given: _Object, name: str, place: str) -> list[JsonValue]:
    value = given.get(name)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise MalformedBody(f"{place}{name} is no list", hint=_EXAMPLE)
    if len(value) > MOST_ITEMS:
        raise MalformedBody(
            f"{place}{name} has {len(value)} members. Max allowed: {MOST_ITEMS}.",
            hint="Send several payloads.",
        )
    return value


def _texts(given: _Object, name: str, place: str) -> dict[str, str]:
    values = _object(given.get(name) or {}, f"{place}.{name}")
    return {field: text_of(value) for field, value in values.items()}


def _flag(given: _Object, name: str) -> bool | None:
    return text_of(given[name]).lower() == "true" if name in given else None


def text_of(value: JsonValue) -> str:
    """Return the text of a member.

    >>> text_of(True), text_of(None), text_of(8), text_of({"value": "x", "link": "y"})
    ('true', '', '8', 'x')
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return _storable(value)
        case int() | float():
            return str(value)
        case {"value": inner}:
            return text_of(inner)
        case list():
            return ",".join(map(text_of, value))
    return lenient_json.dumps(value).decode()


def _storable(text: str) -> str:
    """Leave out what PostgreSQL cannot keep: NUL and halves of a character."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c != "\0" and not "\ud800" <= c <= "\udfff")
