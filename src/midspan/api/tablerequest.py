"""The Table API's wire names, read into typed requests; nothing behind this file knows them."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

import msgspec
from msgspec import Struct

from midspan.api.negotiation import body_form
from midspan.api.request import Pairs, Request, is_true, last_of
from midspan.api.strict import PREFIX, unknown_parameters
from midspan.dictionary import Dictionary, FieldPath
from midspan.formats import JsonValue, lenient_json, xml
from midspan.kernel.errors import MalformedBody
from midspan.query import And, Condition, Operator, Or, Query, Term, Unknown, both, parse

DEFAULT_LIMIT = 10_000
LARGEST_NUMBER = 2**31 - 1
_REMEMBERED = 4_000
"""Characters of a request up to which what was read from them is remembered."""
_NO_FILTERS = frozenset({"access_token"})
_USERS = "sys_user"
_SYS_ID = re.compile(r"[0-9a-fA-F]{32}")
_NUMBER = re.compile(r"\s*0*([0-9]+)\s*")


class Display(StrEnum):
    """Which of its two forms a value is shown in."""

    VALUE = "false"
    SHOWN = "true"
    BOTH = "all"


class RowShape(Struct, frozen=True, kw_only=True):
    """What a row looks like: its columns (None: all of the table) and the form of their values."""

    fields: tuple[str, ...] | None = None
    display: Display = Display.VALUE
    links: bool = True
    view: str = ""
    """The view that says the columns where no fields are named; nothing says all of the table."""
    small: bool = True
    """Whether what follows from it is worth remembering; a list of names may be a megabyte."""


class ListRequest(Struct, frozen=True, kw_only=True):
    """A wish for a page of rows."""

    query: Query
    unknown: Unknown
    limit: int
    offset: int
    count: bool
    pagination: bool
    shape: RowShape
    warnings: tuple[str, ...] = ()


class WriteRequest(Struct, frozen=True, kw_only=True):
    """A wish to insert or update one record; ``values`` as they came, without a look at types."""

    values: dict[str, JsonValue]
    display_input: bool
    keep_system_fields: bool
    answer: bool
    """Whether the caller wants to see the record."""
    shape: RowShape
    warnings: tuple[str, ...] = ()


def read_shape(request: Request) -> RowShape:
    """Read how rows are to be shown; used by every method."""
    return shape_of(request.query)


def shape_of(pairs: Pairs) -> RowShape:
    """Read from the parameters of a query string how rows are to be shown."""
    names = last_of(pairs, f"{PREFIX}fields")
    wanted = last_of(pairs, f"{PREFIX}display_value").strip().lower()
    links = not is_true(last_of(pairs, f"{PREFIX}exclude_reference_link"))
    view = last_of(pairs, f"{PREFIX}view")
    if len(names) + len(wanted) + len(view) > _REMEMBERED:
        return _shape(names, wanted, view, links=links)
    return _remembered_shape(names, wanted, view, links=links)


def _shape(names: str, wanted: str, view: str, *, links: bool) -> RowShape:
    fields = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    return RowShape(
        fields=fields or None,
        display=Display(wanted) if wanted in ("true", "all") else Display.VALUE,
        links=links,
        view="" if fields else view.strip(),
        small=len(names) + len(view) <= _REMEMBERED,
    )


_remembered_shape = lru_cache(maxsize=512)(_shape)


def read_list(request: Request, dictionary: Dictionary, table: str) -> ListRequest:
    """Read a list request for a table that exists."""
    query, unknown, warnings = read_query(request, dictionary, table)
    return ListRequest(
        query=query,
        unknown=unknown,
        limit=_number(request.parameter(f"{PREFIX}limit"), DEFAULT_LIMIT),
        offset=_number(request.parameter(f"{PREFIX}offset"), 0),
        count=not request.flag(f"{PREFIX}no_count"),
        pagination=not request.flag(f"{PREFIX}suppress_pagination_header"),
        shape=read_shape(request),
        warnings=(*unknown_parameters(request), *warnings),
    )


def read_query(
    request: Request, dictionary: Dictionary, table: str
) -> tuple[Query, Unknown, list[str]]:
    """Read ``sysparm_query`` joined with the ``column=value`` parameters of any read.

    The second part says what becomes of unknown names, the third is the warnings.
    """
    query = parse(request.parameter(f"{PREFIX}query"))
    terms, warnings = _filters(request, dictionary, table)
    if terms:
        condition = both(query.condition, And(tuple(terms)))
        query = msgspec.structs.replace(query, condition=condition)
    return query, unknown_of(request), warnings


def unknown_of(request: Request) -> Unknown:
    """Return what becomes of a name in a query that does not exist."""
    nothing = request.property_flag("glide.invalid_query.returns_no_rows")
    return Unknown.NOTHING if nothing else Unknown.IGNORE


def read_write(request: Request) -> WriteRequest:
    """Read the body of an insert or update.

    Raises:
        MalformedBody: neither JSON nor XML, or no object in it.
        UnsupportedMediaType: another content type.
    """
    values, warnings = _body_object(request)
    return WriteRequest(
        values=values,
        display_input=request.flag(f"{PREFIX}input_display_value"),
        keep_system_fields=request.flag(f"{PREFIX}suppress_auto_sys_field"),
        answer=not request.header_flag("x-no-response-body"),
        shape=read_shape(request),
        warnings=(*unknown_parameters(request), *warnings),
    )


def _filters(
    request: Request, dictionary: Dictionary, table: str
) -> tuple[list[Condition], list[str]]:
    """Read ``column=value`` parameters; choices may be given by labels, users by user names."""
    terms: list[Condition] = []
    warnings: list[str] = []
    for name, value in request.query:
        if name.startswith(PREFIX) or name in _NO_FILTERS:
            continue
        path = dictionary.find_path(table, name)
        if path is None:
            warnings.append(f"Filter left out: table {table} has no field {name[:80]}")
        else:
            terms.append(_filter(request, dictionary, path, value))
    return terms, warnings


def _filter(request: Request, dictionary: Dictionary, path: FieldPath, value: str) -> Condition:
    term = Term(path.name, Operator.EQUALS, _choice_value(path, value))
    target = path.field.reference
    if not target or not value or _SYS_ID.fullmatch(value) or not dictionary.is_a(target, _USERS):
        return term
    user_name = dictionary.path(path.tables[0], f"{path.name}.user_name")
    records, now = request.parts.records, request.parts.clock.now()
    if not records.access(request.actor, request.snapshot, now).path(user_name):
        return term
    return Or((term, Term(user_name.name, Operator.EQUALS, value)))


def _choice_value(path: FieldPath, text: str) -> str:
    choices = path.field.choices
    if not choices or any(choice.value == text for choice in choices):
        return text
    lowered = text.lower()
    return next((c.value for c in choices if c.label.lower() == lowered), text)


def _number(text: str, default: int) -> int:
    """What is no number of rows counts as not given; no table has more than the largest."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return default
    return min(int(match[1][:11]), LARGEST_NUMBER)  # more digits say nothing more


def _body_object(request: Request) -> tuple[dict[str, JsonValue], list[str]]:
    """Return the members of the body, and a warning where it holds more than one record."""
    form = body_form(request)
    if not request.body.strip():
        return {}, []
    warnings: list[str] = []
    value: JsonValue
    if form == "xml":
        value = xml.to_object(xml.parse(request.body))
    else:
        value = lenient_json.parse(request.body)
    if isinstance(value, list):
        if len(value) > 1:
            warnings.append(f"Records left out: only the first of {len(value)} is taken")
        value = value[0] if value else {}
    if value is None or value == "":
        return {}, warnings
    if not isinstance(value, dict):
        raise MalformedBody(
            "Expected an object with one member per field", hint='{"short_description": "…"}'
        )
    return value, warnings
