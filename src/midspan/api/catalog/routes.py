"""The routes of the service catalogue, in both versions of their paths."""

from __future__ import annotations

from dataclasses import replace

from midspan.api.catalog import browse, order
from midspan.api.description import (
    FLAG,
    JSON,
    NUMBER,
    TEXT,
    Answer,
    Body,
    Description,
    Parameter,
    Schema,
    listed,
    mapped,
    members,
    query,
    result,
    segment,
)
from midspan.api.router import Handler, Route, SignedIn
from midspan.api.table import SYS_ID

_ROOT = "/api/sn_sc"
_ANY = {"type": "object"}
_LIST = result(listed(_ANY))
_ONE = result(_ANY)
_PLACED = result(
    members(
        ("request_id", "request_number"),
        sys_id=TEXT,
        number=TEXT,
        request_id=TEXT,
        request_number=TEXT,
        table=TEXT,
    )
)
_PAGE = (
    query("sysparm_limit", "Most entries of the answer; 10 without it.", NUMBER),
    query("sysparm_offset", "Entries to pass over first.", NUMBER),
)
_ITEMS = (
    query("sysparm_text", "Words that name or short description contain."),
    query("sysparm_category", "Id of a category."),
    query("sysparm_catalog", "Id of a catalog."),
    query("sysparm_type", "catalog_item or record_producer."),
    *_PAGE,
)
_TOP = query("sysparm_top_level_only", "Only those below no other.", FLAG)
_CART = segment("cart", "Id of the cart.")
_LINE = segment("cart_item", "Id of what is in the cart.")
_COUNT = {"type": "integer", "minimum": 1, "maximum": order.MOST}
_ORDER = Body(
    members(
        ("sysparm_quantity",),
        sysparm_quantity=_COUNT,
        variables=mapped(TEXT),
        sysparm_requested_for=TEXT,
    )
)
_QUANTITY = Body(members(("sysparm_quantity",), sysparm_quantity=_COUNT))
_FOR = Body(members((), sysparm_requested_for=TEXT), required=False)


def catalog_routes() -> tuple[Route, ...]:
    """Return the routes of the catalogue."""
    routes = (
        _read("catalogs", browse.list_catalogs, "List the catalogs", _LIST, _PAGE[:1]),
        _read("catalogs/{sys_id}", browse.show_catalog, "Read a catalog", _ONE, (SYS_ID,)),
        _read(
            "catalogs/{sys_id}/categories",
            browse.list_categories,
            "List the categories of a catalog",
            _LIST,
            (SYS_ID, _TOP, *_PAGE),
        ),
        _read("categories/{sys_id}", browse.show_category, "Read a category", _ONE, (SYS_ID,)),
        _read("items", browse.list_items, "Find items", _LIST, _ITEMS),
        _read("items/{sys_id}", browse.show_item, "Read an item", _ONE, (SYS_ID,)),
        _read(
            "items/{sys_id}/variables",
            browse.show_variables,
            "List the questions of an item",
            _LIST,
            (SYS_ID,),
        ),
        _write("items/{sys_id}/order_now", order.order_now, "Order an item", _PLACED, _ORDER),
        _write(
            "items/{sys_id}/add_to_cart",
            order.add_to_cart,
            "Put an item into your cart",
            _ONE,
            _ORDER,
        ),
        _read("cart", order.show_cart, "Read your cart", _ONE, ()),
        _write("cart/submit_order", order.submit_order, "Order your cart", _PLACED, _FOR),
        _write("cart/checkout", order.submit_order, "Order your cart", _PLACED, _FOR),
        _route(
            "PUT",
            "cart/{cart_item}",
            order.change_line,
            Description(
                summary="Change how many pieces are in your cart",
                tag=_TAG,
                parameters=(_LINE,),
                body=_QUANTITY,
                answers={200: Answer("The cart.", _ONE)},
                refuses=(400, 404, 415),
            ),
        ),
        _route("DELETE", "cart/{cart_item}", order.drop_line, _gone("Take an item out", _LINE)),
        _route("DELETE", "cart/{cart}/empty", order.empty_cart, _gone("Empty your cart", _CART)),
    )
    return tuple(each for route in routes for each in (route, _in_version_1(route)))


_TAG = "Service catalog"


def _read(
    path: str, handler: Handler, summary: str, schema: Schema, parameters: tuple[Parameter, ...]
) -> Route:
    description = Description(
        summary=summary,
        tag=_TAG,
        parameters=parameters,
        answers={200: Answer("What you may see.", schema, (JSON,))},
        refuses=(400, 404),
    )
    return _route("GET", path, handler, description)


def _write(path: str, handler: Handler, summary: str, schema: Schema, body: Body) -> Route:
    description = Description(
        summary=summary,
        tag=_TAG,
        parameters=(SYS_ID,) if "{sys_id}" in path else (),
        body=body,
        answers={200: Answer("What became of it.", schema, (JSON,))},
        refuses=(400, 403, 404, 415),
    )
    return _route("POST", path, handler, description)


def _gone(summary: str, parameter: Parameter) -> Description:
    return Description(
        summary=summary,
        tag=_TAG,
        parameters=(parameter,),
        answers={204: Answer("It is gone.")},
        refuses=(400, 404),
    )


def _route(method: str, path: str, handler: Handler, description: Description) -> Route:
    words = path.replace("{", "").replace("}", "").replace("/", ".")
    return Route(
        name=f"catalog.{words}.{method.lower()}",
        methods=(method,),
        path=f"{_ROOT}/servicecatalog/{path}",
        handler=handler,
        access=SignedIn(),
        description=description,
    )


def _in_version_1(route: Route) -> Route:
    path = route.path.replace(_ROOT, f"{_ROOT}/v1", 1)
    return replace(route, path=path, name=f"{route.name}.v1")
