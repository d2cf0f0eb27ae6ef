"""Orders: an item at once, or a cart of them.

Whoever may see an item may order it. The records of an order are written for him by the catalogue,
since he may not write them by himself. Source: ``spec/rest-api.md`` 7.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from msgspec import Struct

from midspan.api.catalog.browse import GUIDE, ITEM, PRODUCER, Shown, orderable, questions
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.strict import warning_header
from midspan.api.tablerequest import read_write
from midspan.api.tablewrite import as_text
from midspan.api.viewer import Viewer
from midspan.formats import JsonValue
from midspan.kernel.errors import InvalidRequest, NotAuthorized, RecordNotFound
from midspan.records import Record, RecordTransaction, delete, insert, update

REQUEST = "sc_request"
CART = "sc_cart"
LINE = "sc_cart_item"
MOST = 1_000
"""Pieces of one item, and items of one cart."""
_MASKED = "25"
_NO_ANSWERS = frozenset({"11", "12", "19", "20", "24", "32"})


class Line(Struct, frozen=True):
    """One item of an order, checked."""

    item: Record
    quantity: int
    answers: tuple[tuple[str, str], ...]
    """Ids of questions with what was answered."""
    warnings: tuple[str, ...] = ()


def order_now(request: Request) -> Response:
    """Order one item at once."""
    line = _line(request)
    person = _requested_for(request)
    with request.parts.records.write(request.actor, enforce=False) as transaction:
        placed = _placed(transaction, person, [(line.item, line.quantity)])
        item = _requested(transaction, placed, person, line.item, line.quantity)
        _answered(transaction, line.answers, item)
    return _told(placed, warning_header(line.warnings))


def add_to_cart(request: Request) -> Response:
    """Put an item into the cart of the sender."""
    line = _line(request)
    with request.parts.records.write(request.actor, enforce=False) as transaction:
        cart = _cart(transaction) or _new_cart(transaction)
        if len(_lines(transaction, cart)) >= MOST:
            raise InvalidRequest(f"A cart has at most {MOST} items")
        values = {
            "cart": cart,
            "cat_item": line.item.sys_id,
            "quantity": str(line.quantity),
            "price": line.item.get("price"),
            "recurring_price": line.item.get("recurring_price"),
        }
        added = transaction.apply(insert(LINE, values)).sys_id
        for question, value in line.answers:
            option = {"item_option_new": question, "value": value, "cart_item": added}
            transaction.apply(insert("sc_item_option", option))
    return show_cart(request).with_headers(warning_header(line.warnings))


def show_cart(request: Request) -> Response:
    """Answer the cart of the sender; without one an empty cart."""
    with request.parts.records.read(request.actor) as transaction:
        viewer = Viewer(request, transaction)
        cart = _cart(transaction)
        lines = viewer.find(LINE, f"cart={cart}^ORDERBYsys_created_on") if cart else []
        items = [_shown(viewer, line) for line in lines]
    total = sum((_price(one) for one in lines), Decimal())
    shown = {"cart_id": cart, "subtotal": f"${total:,.2f}", "items": items}
    return json_response({"result": shown})


def change_line(request: Request) -> Response:
    """Change how many pieces of an item are in the cart."""
    quantity = _quantity(read_write(request).values)
    with request.parts.records.write(request.actor, enforce=False) as transaction:
        line = _own_line(transaction, request.arguments["cart_item"])
        transaction.apply(update(LINE, line.sys_id, {"quantity": str(quantity)}))
    return show_cart(request)


def drop_line(request: Request) -> Response:
    """Take an item out of the cart."""
    with request.parts.records.write(request.actor, enforce=False) as transaction:
        _drop(transaction, _own_line(transaction, request.arguments["cart_item"]))
    return Response(204)


def empty_cart(request: Request) -> Response:
    """Take everything out of the cart."""
    with request.parts.records.write(request.actor, enforce=False) as transaction:
        cart = _cart(transaction)
        if not cart or cart != request.arguments["cart"]:
            raise RecordNotFound(CART, request.arguments["cart"])
        for line in _lines(transaction, cart):
            _drop(transaction, line)
    return Response(204)


def submit_order(request: Request) -> Response:
    """Order what is in the cart, which is empty then."""
    person = _requested_for(request)
    with request.parts.records.read(request.actor) as transaction:
        viewer = Viewer(request, transaction)
        cart = _cart(transaction)
        lines = _lines(transaction, cart) if cart else []
        for line in lines:
            orderable(viewer, line.get("cat_item"))
    if not lines:
        raise InvalidRequest("The cart is empty", hint="Put an item into it: add_to_cart.")
    with request.parts.records.write(request.actor, enforce=False) as transaction:
        transaction.hold(CART, cart)
        checked = {line.get("cat_item") for line in lines}
        lines = [one for one in _lines(transaction, cart) if one.get("cat_item") in checked]
        if not lines:
            raise InvalidRequest("The cart was ordered meanwhile")
        wanted = [(_item_of(transaction, one), int(one.get("quantity") or 1)) for one in lines]
        placed = _placed(transaction, person, wanted)
        for line, (kind, quantity) in zip(lines, wanted, strict=True):
            item = _requested(transaction, placed, person, kind, quantity)
            _moved(transaction, line, item)
            transaction.apply(delete(LINE, line.sys_id))
    return _told(placed, {})


def _line(request: Request) -> Line:
    """Read and check the order of one item.

    Raises:
        RecordNotFound: the sender may not see such an item.
        InvalidRequest: it cannot be ordered, or an answer is missing.
    """
    values = read_write(request).values
    given = values.get("variables") or {}
    if not isinstance(given, Mapping):
        raise InvalidRequest("variables is no object", hint='{"variables": {"name": "value"}}')
    with request.parts.records.read(request.actor) as transaction:
        viewer = Viewer(request, transaction)
        item = orderable(viewer, request.arguments["sys_id"])
        if item.table in (PRODUCER, GUIDE) or item.get("no_order") == "true":
            raise InvalidRequest(f"{item.get('name')} cannot be ordered")
        answers, unknown = _checked(questions(viewer, item), given)
    warnings = tuple(f"Variable left out: the item asks for no {name[:80]}" for name in unknown)
    return Line(item, _quantity(values), answers, warnings)


def _checked(
    asked: Sequence[Record], given: Mapping[str, JsonValue]
) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Return the answers by question, with the defaults, and the names that nobody asks for."""
    known = {one.get("name"): one for one in asked if one.get("type") not in _NO_ANSWERS}
    texts = {
        name: as_text(given[name]) if name in given else one.get("default_value")
        for name, one in known.items()
    }
    missing = [n for n, one in known.items() if one.get("mandatory") == "true" and not texts[n]]
    if missing:
        raise InvalidRequest("Mandatory Variables are required", detail=", ".join(missing)[:500])
    masked = [n for n, one in known.items() if one.get("type") == _MASKED and texts[n]]
    if masked:
        raise InvalidRequest("Masked variables are not kept", detail=", ".join(masked)[:500])
    answers = tuple((one.sys_id, texts[name]) for name, one in known.items())
    return answers, [name for name in given if name not in known]


def _quantity(values: Mapping[str, JsonValue]) -> int:
    text = as_text(values.get("sysparm_quantity", 1)).strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) <= MOST):
        raise InvalidRequest(f"sysparm_quantity is no number from 1 to {MOST}: {text[:40]}")
    return int(text)


def _requested_for(request: Request) -> str:
    """Return for whom the order is; only those who fulfil requests order for others.

    Raises:
        NotAuthorized: it is for somebody else.
    """
    wanted = as_text(read_write(request).values.get("sysparm_requested_for"))
    if not wanted or wanted == request.actor.sys_id:
        return request.actor.sys_id
    if not request.actor.has_role("itil,catalog"):
        raise NotAuthorized("User Not Authorized", detail="You may order for yourself alone")
    with request.parts.records.read(request.actor) as transaction:
        transaction.require("sys_user", wanted)
    return wanted


def _placed(
    transaction: RecordTransaction, person: str, wanted: Sequence[tuple[Record, int]]
) -> Record:
    """Insert the request that an order is; its price is that of all pieces of all items."""
    names = ", ".join(item.get("name") for item, _ in wanted)
    price = sum((_amount(item.get("price")) * quantity for item, quantity in wanted), Decimal())
    values = {
        "requested_for": person,
        "opened_by": transaction.actor.sys_id,
        "short_description": names[:160],
        "price": str(price),
    }
    made = transaction.apply(insert(REQUEST, values)).sys_id
    return transaction.require(REQUEST, made)


def _requested(
    transaction: RecordTransaction, placed: Record, person: str, item: Record, quantity: int
) -> str:
    """Insert one item of a request; its price is that of all pieces."""
    price = _amount(item.get("price")) * quantity
    values = {
        "request": placed.sys_id,
        "parent": placed.sys_id,
        "cat_item": item.sys_id,
        "quantity": str(quantity),
        "price": str(price),
        "recurring_price": item.get("recurring_price"),
        "requested_for": person,
        "opened_by": transaction.actor.sys_id,
        "short_description": item.get("short_description") or item.get("name"),
        "assignment_group": item.get("group"),
    }
    return transaction.apply(insert("sc_req_item", values)).sys_id


def _answered(
    transaction: RecordTransaction, answers: Iterable[tuple[str, str]], item: str
) -> None:
    for question, value in answers:
        option = {"item_option_new": question, "value": value}
        _linked(transaction, transaction.apply(insert("sc_item_option", option)).sys_id, item)


def _moved(transaction: RecordTransaction, line: Record, item: str) -> None:
    """Make answers of a cart those of a requested item."""
    for option in transaction.find("sc_item_option", f"cart_item={line.sys_id}"):
        transaction.apply(update("sc_item_option", option.sys_id, {"cart_item": ""}))
        _linked(transaction, option.sys_id, item)


def _linked(transaction: RecordTransaction, option: str, item: str) -> None:
    values = {"request_item": item, "sc_item_option": option}
    transaction.apply(insert("sc_item_option_mtom", values))


def _told(placed: Record, headers: Mapping[str, str]) -> Response:
    number = placed.get("number")
    shown = {
        "sys_id": placed.sys_id,
        "number": number,
        "request_number": number,
        "request_id": placed.sys_id,
        "parent_id": None,
        "parent_table": "task",
        "table": REQUEST,
    }
    return json_response({"result": shown}, headers=headers)


def _cart(transaction: RecordTransaction) -> str:
    """Return the id of the actor's cart, ``''`` without one."""
    found = transaction.first(CART, f"user={transaction.actor.sys_id}^ORDERBYsys_created_on")
    return found.sys_id if found else ""


def _new_cart(transaction: RecordTransaction) -> str:
    values = {"user": transaction.actor.sys_id, "name": "DEFAULT"}
    return transaction.apply(insert(CART, values)).sys_id


def _lines(transaction: RecordTransaction, cart: str) -> list[Record]:
    return transaction.find(LINE, f"cart={cart}^ORDERBYsys_created_on")


def _own_line(transaction: RecordTransaction, sys_id: str) -> Record:
    cart = _cart(transaction)
    found = next((one for one in _lines(transaction, cart) if one.sys_id == sys_id), None)
    if found is None:
        raise RecordNotFound(LINE, sys_id)
    return found


def _drop(transaction: RecordTransaction, line: Record) -> None:
    for option in transaction.find("sc_item_option", f"cart_item={line.sys_id}"):
        transaction.apply(delete("sc_item_option", option.sys_id))
    transaction.apply(delete(LINE, line.sys_id))


def _item_of(transaction: RecordTransaction, line: Record) -> Record:
    return transaction.require(ITEM, line.get("cat_item"))


def _shown(viewer: Viewer, line: Record) -> Shown:
    item = viewer.first(ITEM, f"sys_id={line.get('cat_item')}")
    return {
        "cart_item_id": line.sys_id,
        "catalog_item_id": line.get("cat_item"),
        "name": item.get("name") if item else "",
        "short_description": item.get("short_description") if item else "",
        "quantity": int(line.get("quantity") or 1),
        "price": viewer.text(line, "price"),
        "localized_price": viewer.text(line, "price"),
        "recurring_price": viewer.text(line, "recurring_price"),
        "subtotal": f"${_price(line):,.2f}",
    }


def _price(line: Record) -> Decimal:
    return _amount(line.get("price")) * int(line.get("quantity") or 1)


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text or "0")
    except InvalidOperation:
        return Decimal()
