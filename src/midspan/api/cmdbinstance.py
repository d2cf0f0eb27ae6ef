"""The CMDB Instance API: ``/api/now/cmdb/instance/{class}``, items with their relations.

Every write goes through identification and reconciliation. Source: ``spec/rest-api.md`` 7.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import quote

from msgspec import structs

from midspan.api.cmdbdescription import (
    CREATE,
    DELETE_RELATION,
    GET,
    LIST,
    RELATE,
    UPDATE,
)
from midspan.api.idempotency import once
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Role, Route, api_version, versioned
from midspan.api.strict import refuse_in_strict_mode, warning_header
from midspan.api.table import answer
from midspan.api.tableread import open_table, read_page, read_record, rendered, shown_view
from midspan.api.tablerequest import Display, RowShape, read_list, read_write
from midspan.cmdb import (
    RULES,
    IdentificationEngine,
    Item,
    ItemOutcome,
    Outcome,
    Payload,
    Place,
    Relation,
    text_of,
)
from midspan.dictionary import Table
from midspan.formats import JsonValue
from midspan.kernel.errors import InvalidRequest, InvalidTable, MalformedBody, RecordNotFound
from midspan.query import Operator, ReadPlan, Test
from midspan.records import RecordTransaction, delete

_ROOT = "cmdb"
_BASE = "cmdb_ci"
_PATH = "/api/now/cmdb/instance/{classname}"
_MOST = 10_000
"""Relations of one item in one direction that an answer shows."""
_Body: TypeAlias = Mapping[str, JsonValue]


def instance_routes(engine: IdentificationEngine) -> tuple[Route, ...]:
    """Return the routes of the CMDB Instance API in all their versions."""
    surface = InstanceApi(engine)
    itil = Role("itil")
    one = f"{_PATH}/{{sys_id}}"
    routes = (
        Route(
            name="cmdb.list",
            methods=("GET",),
            path=_PATH,
            handler=list_items,
            access=itil,
            description=LIST,
        ),
        Route(
            name="cmdb.create",
            methods=("POST",),
            path=_PATH,
            handler=once(surface.create),
            one_write=True,
            access=itil,
            description=CREATE,
        ),
        Route(
            name="cmdb.get",
            methods=("GET",),
            path=one,
            handler=get_item,
            access=itil,
            description=GET,
        ),
        Route(
            name="cmdb.update",
            methods=("PUT", "PATCH"),
            path=one,
            handler=once(surface.update),
            one_write=True,
            access=itil,
            description=UPDATE,
        ),
        Route(
            name="cmdb.relate",
            methods=("POST",),
            path=f"{one}/relation",
            handler=once(surface.relate),
            one_write=True,
            access=itil,
            description=RELATE,
        ),
        Route(
            name="cmdb.unrelate",
            methods=("DELETE",),
            path=f"{one}/relation/{{rel_sys_id}}",
            handler=once(delete_relation),
            one_write=True,
            access=itil,
            description=DELETE_RELATION,
        ),
    )
    return tuple(version for route in routes for version in versioned(route))


def class_of(request: Request) -> Table:
    """Return the class that a path names.

    Raises:
        InvalidTable: there is no such class of configuration items.
        NotAuthorized: it is closed to web services.
    """
    dictionary, name = request.snapshot.dictionary, request.arguments["classname"]
    if not dictionary.is_a(name, _ROOT):
        raise InvalidTable(name, dictionary.table(_ROOT).classes)
    return open_table(request.snapshot, name)


def list_items(request: Request) -> Response:
    """Answer ids and names of the items of a class, a page of them."""
    form = response_form(request)
    table = class_of(request)
    wanted = read_list(request, request.snapshot.dictionary, table.name)
    shape = RowShape(fields=("sys_id", "name"), links=False)
    page = read_page(
        request,
        table.name,
        structs.replace(wanted, shape=shape, count=False),
        as_text=form == "json",
    )
    refuse_in_strict_mode(request, page.warnings)
    rows = page.rows if page.text is None else page.text
    return answer(rows, form, headers=warning_header(page.warnings))


def get_item(request: Request) -> Response:
    """Answer one item with its relations."""
    form, table = response_form(request), class_of(request)
    with request.parts.records.read(request.actor) as transaction:
        shown = show_item(request, transaction, table, request.arguments["sys_id"])
    return answer(shown, form)


def delete_relation(request: Request) -> Response:
    """Delete a relation of an item; the answer has no body."""
    table = class_of(request)
    sys_id, relation_id = request.arguments["sys_id"], request.arguments["rel_sys_id"]
    with request.writing() as transaction:
        record = transaction.require(table.name, sys_id)
        relation = transaction.require("cmdb_rel_ci", relation_id)
        if record.sys_id not in (relation.get("parent"), relation.get("child")):
            raise RecordNotFound("cmdb_rel_ci", relation_id)
        transaction.apply(delete("cmdb_rel_ci", relation.sys_id))
    return Response(204)


class InstanceApi:
    """The writing half, which goes through the engine."""

    def __init__(self, engine: IdentificationEngine) -> None:
        self._engine = engine

    def create(self, request: Request) -> Response:
        """Add an item, or bring up to date the one that it turns out to be."""
        form, table = response_form(request), class_of(request)
        body = _body(request)
        with request.writing() as transaction:
            item = Item(cls=table.name, values=_attributes(body), indices=(0,))
            outcome = self._take(transaction, item, body)
            shown = _shown_after(request, transaction, table, outcome)
        return _answered(outcome, shown, form)

    def update(self, request: Request) -> Response:
        """Change attributes of an item, as far as its source may."""
        return self._change(request, anchor=False)

    def relate(self, request: Request) -> Response:
        """Add relations to an item; the answer is the whole item."""
        return self._change(request, anchor=True)

    def _change(self, request: Request, *, anchor: bool) -> Response:
        """Take what a body says of an item; of an ``anchor`` its relations only."""
        form, table = response_form(request), class_of(request)
        body = _body(request)
        with request.writing() as transaction:
            record = transaction.require(table.name, request.arguments["sys_id"])
            values = {**({} if anchor else _attributes(body)), "sys_id": record.sys_id}
            item = Item(cls=record.table, values=values, indices=(0,), anchor=anchor)
            outcome = self._take(transaction, item, body)
            shown = _shown_after(request, transaction, table, outcome)
        return _answered(outcome, shown, form)

    def _take(self, transaction: RecordTransaction, item: Item, body: _Body) -> Outcome:
        payload = _payload(transaction, item, body)
        return self._engine.take(transaction, payload, text_of(body.get("source")))


def show_item(
    request: Request, transaction: RecordTransaction, table: Table, sys_id: str
) -> dict[str, object]:
    """Return an item with all attributes of its own class, and its relations both ways."""
    record = transaction.require(table.name, sys_id)
    view = shown_view(transaction.snapshot, record.table, RowShape(display=Display.BOTH))
    cells = read_record(request, transaction, view, record.sys_id)
    return {
        "attributes": {name: _cell(cell) for name, cell in cells.items()},
        "outbound_relations": _relations(request, transaction, record.sys_id, "parent", "child"),
        "inbound_relations": _relations(request, transaction, record.sys_id, "child", "parent"),
    }


def _cell(cell: object) -> object:
    """Return a reference with its three members, of everything else the stored value."""
    if not isinstance(cell, Mapping):
        return cell
    if cell.get("link"):
        return {name: cell[name] for name in ("display_value", "link", "value")}
    return cell.get("value", "")


def _relations(
    request: Request, transaction: RecordTransaction, sys_id: str, own: str, other: str
) -> list[dict[str, object]]:
    shape = RowShape(fields=("sys_id", "type", other), display=Display.BOTH)
    view = shown_view(transaction.snapshot, "cmdb_rel_ci", shape)
    path = transaction.dictionary.path
    plan = transaction.restrict(
        ReadPlan(
            table="cmdb_rel_ci",
            columns=tuple(path("cmdb_rel_ci", name) for name in view.names),
            condition=Test(path("cmdb_rel_ci", own), Operator.EQUALS, (sys_id,)),
            limit=_MOST,
        )
    )
    rows = rendered(request, transaction, view, plan, transaction.run(plan))
    return [
        {
            "sys_id": _cell(row.get("sys_id", "")),
            "type": _cell(row.get("type", "")),
            "target": _target(request, _cell(row.get(other, ""))),
        }
        for row in rows
    ]


def _target(request: Request, cell: object) -> object:
    """Let the link of a target lead to this interface."""
    if not isinstance(cell, Mapping):
        return cell
    version = api_version(request.path)
    root = f"{request.base_url}/api/now{f'/{version}' if version else ''}"
    link = f"{root}/cmdb/instance/{_BASE}/{quote(str(cell['value']), safe='')}"
    return {**cell, "link": link}


def _body(request: Request) -> _Body:
    """Return the body, from JSON or XML."""
    wanted = read_write(request)
    refuse_in_strict_mode(request, wanted.warnings)
    return wanted.values


def _attributes(body: _Body) -> dict[str, str]:
    given = body.get("attributes") or {}
    if not isinstance(given, Mapping):
        raise MalformedBody("attributes is no object", hint='{"attributes": {"name": "web01"}}')
    return {name: text_of(value) for name, value in given.items() if name != "sys_id"}


def _payload(transaction: RecordTransaction, item: Item, body: _Body) -> Payload:
    """Return the item with what it is related to, which has to exist and be readable."""
    items, relations = [item], []
    for member, outbound in (("outbound_relations", True), ("inbound_relations", False)):
        for number, each in enumerate(_listed(body, member)):
            place = f"{member}[{number}]"
            if not isinstance(each, Mapping):
                raise MalformedBody(f"{place} is no object", hint='{"type": "…", "target": "…"}')
            target = Place(len(items))
            items.append(_target_item(transaction, text_of(each.get("target")), place))
            ends = (Place(0), target) if outbound else (target, Place(0))
            kind = _relation_type(transaction, text_of(each.get("type")), place)
            relations.append(Relation(parent=ends[0], child=ends[1], type=kind))
    return Payload(items=tuple(items), relations=tuple(relations))


def _listed(body: _Body, member: str) -> list[JsonValue]:
    """Return a list; XML has an object where there is only one."""
    value = body.get(member)
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def _target_item(transaction: RecordTransaction, sys_id: str, place: str) -> Item:
    record = transaction.get(_BASE, sys_id) if sys_id else None
    if record is None:
        raise InvalidRequest(
            f"Invalid target {sys_id[:80]} in {place}",
            detail=f"{_BASE} has no readable record of this sys_id",
        )
    return Item(cls=record.table, values={"sys_id": record.sys_id}, anchor=True)


def _relation_type(transaction: RecordTransaction, given: str, place: str) -> str:
    """Return the name of a relation type that is given by its id, or by the name itself."""
    for sys_id, name in transaction.snapshot.part(RULES).relation_types:
        if given in (sys_id, name):
            return name
    raise InvalidRequest(
        f"Invalid type {given[:80]} in {place}",
        detail="cmdb_rel_type has no record of this sys_id",
    )


def _shown_after(
    request: Request, transaction: RecordTransaction, table: Table, outcome: Outcome
) -> dict[str, object]:
    """Return the item as its writer sees it, which may be not at all."""
    if outcome.failed:
        return {}
    try:
        return show_item(request, transaction, table, outcome.items[0].sys_id)
    except RecordNotFound:
        return {}


def _answered(outcome: Outcome, shown: dict[str, object], form: str) -> Response:
    """Return the item; what kept it from being written is the error of the request.

    Raises:
        MidspanError: the first error of the item or its relations.
    """
    for item in outcome.items:
        _raise_first(item)
    for relation in outcome.relations:
        for problem in relation.errors:
            raise InvalidRequest(problem.message, detail=problem.code)
    warnings = [problem.message for problem in outcome.items[0].warnings]
    return answer(shown, form, headers=warning_header(warnings))


def _raise_first(item: ItemOutcome) -> None:
    if item.cause is not None:
        raise item.cause
    for problem in item.errors:
        if problem.code != "ABANDONED":
            raise InvalidRequest(problem.message, detail=problem.code)
