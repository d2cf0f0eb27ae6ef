"""The operations that read: get, getKeys, getRecords and aggregate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import cast

import msgspec
from msgspec import Struct, structs

from midspan.api.request import Request
from midspan.api.soap.envelope import Call, SoapFault, element
from midspan.api.soap.schema import (
    CONTROLS,
    FUNCTIONS,
    Element,
    RowWriter,
    has_twin,
    is_carried,
    shown_element,
    type_of,
    value_element,
)
from midspan.api.soap.style import Style, rights_of, settled_rights
from midspan.api.tableread import (
    check_walks,
    open_table,
    read_page,
    read_record,
    read_stored_at_once,
    rendered,
    shown_view,
)
from midspan.api.tablerequest import LARGEST_NUMBER, Display, ListRequest, RowShape, unknown_of
from midspan.api.tableview import View, view_of
from midspan.api.uiviews import answered
from midspan.dictionary import Dictionary, Table
from midspan.kernel.errors import RecordNotFound
from midspan.query import (
    AggregatePlan,
    And,
    Grouping,
    HavingTerm,
    Operator,
    Order,
    Query,
    ReadOptions,
    ReadPlan,
    Term,
    both,
    parse,
    parse_term,
    plan_aggregate,
)
from midspan.records import RecordTransaction, Snapshot
from midspan.security import Actor
from midspan.storage import Row

MOST_RECORDS = 250
"""Rows of getRecords for callers that name no number."""
_NOT_FILTERS = frozenset(CONTROLS)
_EMPTY = re.compile(r"<[\w.]+/>")
_PREFIX = re.compile(r"(>=|<=|!=|>|<|\*|STARTSWITH)(?=.)", re.DOTALL)
_TEST = re.compile(
    r"\s*(COUNT|SUM|AVG|MIN|MAX)\^([a-z0-9_.]*|\*)\^(=|!=|<>|>=|<=|>|<)\^(.*)",
    re.IGNORECASE | re.DOTALL,
)


def get(request: Request, style: Style, call: Call) -> str:
    """Return the elements of one record; nothing when it does not exist or is not readable."""
    content = get_at_once(request, style, call)
    if content is not None:
        return content
    table = open_table(request.snapshot, style.table)
    shape = _shape(request, table, style, call)
    view = shown_view(request.snapshot, table.name, shape)
    try:
        with request.parts.records.read(request.actor) as transaction:
            row = read_record(request, transaction, view, call.text("sys_id"))
    except RecordNotFound:
        return ""
    return _shown(style, next(_rows(request, table, shape, [row]), ""))


def get_at_once(request: Request, style: Style, call: Call) -> str | None:
    """Return what ``get`` does, of stored values and without waiting; None when that cannot be."""
    if style.display is not Display.VALUE or not request.parts.records.prompt:
        return None
    snapshot = request.snapshot
    controlled = call.text("__use_view") or call.text("__exclude_columns")
    if not controlled and request.parts.records.settled(snapshot):
        form = snapshot.derive(_usual_form, request.actor, style)
    else:
        table = open_table(snapshot, style.table)
        names = _shape(request, table, style, call).fields or ()
        form = _form(snapshot, table.name, names)
    try:
        row = read_stored_at_once(request, form.view, call.text("sys_id"))
    except RecordNotFound:
        return ""
    return None if row is None else _shown(style, form.writer.row(cast(dict[str, str], row)))


def get_records(request: Request, style: Style, call: Call) -> str:
    """Return a ``getRecordsResult`` for each record of the page."""
    table = open_table(request.snapshot, style.table)
    shape = _shape(request, table, style, call)
    page = read_page(request, table.name, _wanted(request, table, call, shape, MOST_RECORDS))
    rows = _rows(request, table, shape, page.rows)
    return "".join(f"<getRecordsResult>{_shown(style, row)}</getRecordsResult>" for row in rows)


def get_keys(request: Request, style: Style, call: Call) -> str:
    """Return the ids of all matching records, joined by commas, and how many they are."""
    table = open_table(request.snapshot, style.table)
    shape = RowShape(fields=("sys_id",), links=False)
    page = read_page(request, table.name, _wanted(request, table, call, shape, LARGEST_NUMBER))
    ids = [str(row["sys_id"]) for row in page.rows if row.get("sys_id")]
    return f"{element('sys_id', ','.join(ids))}<count>{len(ids)}</count>"


def aggregate(request: Request, style: Style, call: Call) -> str:
    """Return an ``aggregateResult`` for each group, or one for all records."""
    records, snapshot = request.parts.records, request.snapshot
    table = open_table(snapshot, style.table)
    now = request.parts.clock.now()
    groups = tuple(name for text in call.texts("GROUP_BY") for name in _names(text))
    plan = plan_aggregate(
        snapshot.dictionary,
        table.name,
        query_of(call, table, snapshot.dictionary),
        tuple(_aggregates(call)),
        ReadOptions(
            columns=groups,
            unknown=unknown_of(request),
            values=records.session_values(request.actor, now),
        ),
        Grouping(having=tuple(map(_having, call.texts("HAVING")))),
    )
    seen = records.access(request.actor, snapshot, now).restrict_groups(plan)
    check_walks(ReadPlan(table=seen.table, columns=seen.used, condition=seen.condition))
    with records.read(request.actor) as transaction:
        transaction.use(snapshot)
        rows = transaction.aggregate(seen)
        names = _group_values(request, transaction, seen, rows, style.display)
    results = (
        "".join((*_results(seen, row), *(element(name, text) for name, text in sorted(values))))
        for row, values in zip(rows, names, strict=True)
    )
    return "".join(f"<aggregateResult>{result}</aggregateResult>" for result in results)


def query_of(call: Call, table: Table, dictionary: Dictionary) -> Query:
    """Return what a call asks for: its encoded query, and each field it gives as an example.

    A parameter that is the name of no field counts as a part of the query that cannot be read.
    """
    query = parse(call.text("__encoded_query"))
    terms: list[Term] = []
    invalid = list(query.invalid)
    for name, text in call.fields:
        if name in _NOT_FILTERS or name in (*FUNCTIONS, "GROUP_BY", "HAVING"):
            continue
        if dictionary.find_path(table.name, name) is None:
            invalid.append(f"{name}={text}")
        else:
            terms.append(_example(name, text))
    orders = (*_orders(call, "__order_by"), *_orders(call, "__order_by_desc"))
    return msgspec.structs.replace(
        query,
        condition=both(query.condition, And(tuple(terms))) if terms else query.condition,
        order=(*orders, *query.order),
        invalid=tuple(invalid),
    )


def _example(name: str, text: str) -> Term:
    """Return the test that an element stands for; its text may begin with an operator."""
    if not text:
        return Term(name, Operator.IS_EMPTY, "")
    if _PREFIX.match(text):
        read = parse_term(f"{name}{text}")
        if read is not None and read.field == name:
            return read
    return Term(name, Operator.EQUALS, text)


def _wanted(request: Request, table: Table, call: Call, shape: RowShape, most: int) -> ListRequest:
    first = _number(call, "__first_row") or 0
    last = _number(call, "__last_row")
    limit = _number(call, "__limit")
    if last is not None:
        window = max(0, last - first)
        limit = window if limit is None else min(limit, window)
    return ListRequest(
        query=query_of(call, table, request.snapshot.dictionary),
        unknown=unknown_of(request),
        limit=most if limit is None else limit,
        offset=first,
        count=False,
        pagination=False,
        shape=shape,
    )


def _shape(request: Request, table: Table, style: Style, call: Call) -> RowShape:
    """Return the columns of the view, else all, by the alphabet and without unwanted ones.

    Which of them may be read is seen when they are: a view may walk references.
    """
    view = call.text("__use_view") or style.view
    names = _laid_out(request.snapshot, table.name, view, style.standing_view)
    if names is None:
        names = rights_of(request, table.name).columns
    left_out = frozenset(_names(call.text("__exclude_columns")))
    if left_out:
        names = tuple(name for name in names if name not in left_out)
    return RowShape(fields=names, display=style.display, links=False)


def _laid_out(snapshot: Snapshot, table: str, view: str, standing: str) -> tuple[str, ...] | None:
    """Return the columns of the first of two views that lays the table out; None: neither does."""
    chosen = answered(snapshot, table, view) if view else None
    if (chosen is None or chosen.fields is None) and standing:
        chosen = answered(snapshot, table, standing)
    if chosen is None or chosen.fields is None:
        return None
    paths = (snapshot.dictionary.path(table, name) for name in sorted(chosen.fields))
    return tuple(path.name for path in paths if is_carried(path.field))


class _Form(Struct, frozen=True):
    """How one record's stored values are read and written."""

    view: View
    writer: RowWriter


def _usual_form(snapshot: Snapshot, actor: Actor, style: Style) -> _Form:
    """Return the form of a call without controls, where snapshot and actor alone decide it."""
    table = open_table(snapshot, style.table).name
    names = _laid_out(snapshot, table, style.view, style.standing_view)
    if names is None:
        names = settled_rights(snapshot, actor, table).columns
    return _form(snapshot, table, names)


def _form(snapshot: Snapshot, table: str, names: tuple[str, ...]) -> _Form:
    view = shown_view(snapshot, table, RowShape(fields=names, links=False))
    return _Form(view, snapshot.derive(_writer, table, names))


def _rows(
    request: Request, table: Table, shape: RowShape, rows: Sequence[dict[str, object]]
) -> Iterator[str]:
    """Yield the elements of each row; a column that was not read has none."""
    names = shape.fields or ()
    if shape.display is Display.VALUE:
        writer = request.snapshot.derive(_writer, table.name, names)
        yield from (writer.row(cast(dict[str, str], row)) for row in rows)
        return
    fields = [(name, request.snapshot.dictionary.path(table.name, name).field) for name in names]
    items = [(name, Element(name, type_of(field, Display.VALUE))) for name, field in fields]
    if shape.display is Display.SHOWN:
        for row in rows:
            shown = (shown_element(item, str(row[name])) for name, item in items if name in row)
            yield "".join(shown)
        return
    twins = {name for name, field in fields if has_twin(field)}
    for row in rows:
        yield "".join(_pairs(items, row, twins))


def _shown(style: Style, row: str) -> str:
    """Return the elements of a row, without the empty ones where those are not wanted."""
    return _EMPTY.sub("", row) if style.omits_empty else row


def _writer(snapshot: Snapshot, table: str, names: Sequence[str]) -> RowWriter:
    paths = [snapshot.dictionary.path(table, name) for name in names]
    return RowWriter([Element(path.name, type_of(path.field, Display.VALUE)) for path in paths])


def _pairs(
    items: Iterable[tuple[str, Element]], row: dict[str, object], twins: set[str]
) -> Iterator[str]:
    for name, item in items:
        pair = row.get(name)
        if isinstance(pair, dict):
            yield value_element(item, pair["value"])
            if name in twins:
                yield element(f"dv_{name}", pair["display_value"])


def _group_values(
    request: Request,
    transaction: RecordTransaction,
    plan: AggregatePlan,
    rows: Sequence[Row],
    display: Display,
) -> list[list[tuple[str, str]]]:
    """Return names and values of the groups, as the columns of a record are shown."""
    names = tuple(path.name for path in plan.group_by)
    if display is Display.VALUE or not names:
        return [
            [(name, text or "") for name, text in zip(names, row, strict=False)] for row in rows
        ]
    shape = RowShape(fields=names, display=Display.SHOWN, links=False)
    view = view_of(transaction.dictionary, plan.table, shape)
    alone = tuple(structs.replace(column, joined=None) for column in view.columns)
    page = ReadPlan(table=plan.table, columns=plan.group_by)
    values = [row[: len(names)] for row in rows]
    shown = rendered(request, transaction, structs.replace(view, columns=alone), page, values)
    return [[(name, str(row.get(name, ""))) for name in names] for row in shown]


def _results(plan: AggregatePlan, row: Row) -> Iterator[str]:
    found = {
        one.function: f"{Decimal(text):.4f}" if one.function == "AVG" and text else text or ""
        for one, text in zip(plan.aggregates, row[len(plan.group_by) :], strict=False)
    }
    yield from (element(name, found[name]) for name in FUNCTIONS if name in found)


def _aggregates(call: Call) -> Iterator[tuple[str, str | None]]:
    """Yield functions with their fields; COUNT counts records, whatever field it names."""
    for name in FUNCTIONS:
        fields = call.texts(name)
        if name == "COUNT" and any(key == name for key, _ in call.fields):
            yield name, None
        elif len(fields) > 1:
            raise SoapFault(
                f"{name} is asked for more than once; ask again for each", code="Client"
            )
        elif fields:
            yield name, fields[0]


def _having(text: str) -> HavingTerm:
    match = _TEST.fullmatch(text)
    if match is None or (match[2] in ("", "*") and match[1].upper() != "COUNT"):
        raise SoapFault(
            f"HAVING is not a test: {text[:80]}",
            "Expected FUNCTION^field^operator^value, such as COUNT^*^>^3.",
            code="Client",
        )
    field = None if match[2] in ("", "*") else match[2]
    operator = Operator("!=" if match[3] == "<>" else match[3])
    return HavingTerm(match[1].upper(), field, operator, match[4].strip())


def _orders(call: Call, control: str) -> Iterator[Order]:
    falling = control.endswith("_desc")
    for text in call.texts(control):
        yield from (Order(name, falling) for name in _names(text))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _number(call: Call, control: str) -> int | None:
    """Return the number of rows that a control names; None when it is not given."""
    text = call.text(control)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise SoapFault(f"{control} is no number of rows: {text[:40]}", code="Client")
    return min(int(text[:11]), LARGEST_NUMBER)
