"""What can be ordered: catalogs, categories, items and their questions.

Shown is what the access rules of their tables let the sender read; values are real booleans and
numbers. Source: ``spec/rest-api.md`` 7.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from midspan.api.exports.wanted import wished_number
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.viewer import Viewer
from midspan.kernel.errors import RecordNotFound
from midspan.query import ReadOptions, Unknown, parse, plan_read
from midspan.records import Record

ITEM = "sc_cat_item"
PRODUCER = "sc_cat_item_producer"
GUIDE = "sc_cat_item_guide"
QUESTION = "item_option_new"
DEFAULT_LIMIT = 10
MOST = 1_000
_SCRIPTS = ("onChange", "onCellEdit", "onSubmit", "onLoad")
_WITH_CHOICES = frozenset({"3", "5", "22"})
_FRIENDLY = {
    "1": "boolean", "2": "multi_line_text", "3": "multiple_choice", "4": "numeric_scale",
    "5": "select_box", "6": "single_line_text", "7": "check_box", "8": "reference", "9": "date",
    "10": "date_time", "11": "label", "12": "break", "14": "macro", "16": "wide_single_line_text",
    "18": "lookup_select_box", "19": "container_start", "20": "container_end",
    "21": "list_collector", "22": "lookup_multiple_choice", "23": "html", "24": "container_split",
    "25": "masked", "26": "email", "27": "url", "28": "ip_address", "29": "duration",
    "31": "requested_for", "32": "rich_text_label", "33": "attachment",
}  # fmt: skip

Shown = dict[str, object]


def list_catalogs(request: Request) -> Response:
    """Answer the catalogs."""
    with _viewer(request) as viewer:
        found = viewer.find("sc_catalog", "active=true^ORDERBYtitle", limit=_limit(request))
        return _answer([_catalog(viewer, one) for one in found])


def show_catalog(request: Request) -> Response:
    """Answer one catalog."""
    with _viewer(request) as viewer:
        return _answer(_catalog(viewer, _one(viewer, "sc_catalog", request.arguments["sys_id"])))


def list_categories(request: Request) -> Response:
    """Answer the categories of a catalog."""
    with _viewer(request) as viewer:
        catalog = _one(viewer, "sc_catalog", request.arguments["sys_id"])
        top = "parentISEMPTY^" if request.flag("sysparm_top_level_only") else ""
        query = f"active=true^sc_catalog={catalog.sys_id}^{top}ORDERBYorder^ORDERBYtitle"
        found = viewer.find("sc_category", query, limit=MOST)
        return _answer([_category(viewer, one) for one in _page(request, found)])


def show_category(request: Request) -> Response:
    """Answer one category with those below it."""
    with _viewer(request) as viewer:
        return _answer(_category(viewer, _one(viewer, "sc_category", request.arguments["sys_id"])))


def list_items(request: Request) -> Response:
    """Answer the items that fit, by order and name."""
    with _viewer(request) as viewer:
        found = viewer.find(ITEM, "^".join(_filters(request, viewer)), limit=MOST)
        return _answer([_item(viewer, one) for one in _page(request, found)])


def show_item(request: Request) -> Response:
    """Answer one item with its questions."""
    with _viewer(request) as viewer:
        item = orderable(viewer, request.arguments["sys_id"])
        return _answer(
            {
                **_item(viewer, item),
                "variables": [_variable(viewer, one) for one in questions(viewer, item)],
                "ui_policy": [],
                "client_script": {name: [] for name in _SCRIPTS},
                "data_lookup": [],
            }
        )


def show_variables(request: Request) -> Response:
    """Answer the questions of one item."""
    with _viewer(request) as viewer:
        item = orderable(viewer, request.arguments["sys_id"])
        return _answer([_variable(viewer, one) for one in questions(viewer, item)])


def orderable(viewer: Viewer, sys_id: str) -> Record:
    """Return an active item.

    Raises:
        RecordNotFound: there is none, or the sender may not read it.
    """
    found = viewer.first(ITEM, f"sys_id={_name(sys_id)}^active=true")
    if found is None:
        raise RecordNotFound(ITEM, sys_id)
    return found


def questions(viewer: Viewer, item: Record) -> list[Record]:
    """Return the active questions of an item, its own and those of its sets, in their order.

    Whoever sees an item sees what it asks, so that no mandatory question is passed by.
    """
    sets = _asked(viewer, "io_set_item", f"sc_cat_item={item.sys_id}")
    ids = ",".join(one.get("variable_set") for one in sets if one.get("variable_set"))
    own = _asked(viewer, QUESTION, f"active=true^cat_item={item.sys_id}")
    shared = _asked(viewer, QUESTION, f"active=true^variable_setIN{ids}") if ids else []
    return sorted((*own, *shared), key=lambda one: (int(one.get("order") or 0), one.sys_id))


def _asked(viewer: Viewer, table: str, query: str) -> list[Record]:
    """Return records that belong to an item which is seen, whatever the rules of their table."""
    transaction = viewer.transaction
    options = ReadOptions(columns=["sys_id"], unknown=Unknown.REFUSE)
    plan = plan_read(transaction.dictionary, table, parse(query), options)
    ids = [str(row[0]) for row in transaction.run(plan)]
    found = transaction.load(table, ids)
    return [found[sys_id] for sys_id in ids if sys_id in found]


@contextmanager
def _viewer(request: Request) -> Iterator[Viewer]:
    with request.parts.records.read(request.actor) as transaction:
        yield Viewer(request, transaction)


def _answer(value: object) -> Response:
    return json_response({"result": value})


def _name(text: str) -> str:
    """Return a text as it may stand in a query: nothing that ends a condition."""
    return text.replace("^", "")


def _one(viewer: Viewer, table: str, sys_id: str) -> Record:
    found = viewer.first(table, f"sys_id={_name(sys_id)}")
    if found is None:
        raise RecordNotFound(table, sys_id)
    return found


def _limit(request: Request) -> int:
    wish = wished_number(request.parameter("sysparm_limit"))
    return min(DEFAULT_LIMIT if wish is None else wish, MOST)


def _page(request: Request, found: list[Record]) -> list[Record]:
    start = wished_number(request.parameter("sysparm_offset")) or 0
    return found[start : start + _limit(request)]


def _filters(request: Request, viewer: Viewer) -> Iterator[str]:
    yield "active=true"
    for word in request.parameter("sysparm_text").split():
        yield f"nameLIKE{_name(word)}^ORshort_descriptionLIKE{_name(word)}"
    category = _name(request.parameter("sysparm_category"))
    if category:
        links = viewer.find("sc_cat_item_category", f"sc_category={category}")
        yield f"category={category}^ORsys_idIN{_ids(links)}"
    catalog = _name(request.parameter("sysparm_catalog"))
    if catalog:
        links = viewer.find("sc_cat_item_catalog", f"sc_catalog={catalog}")
        yield f"sc_catalogsLIKE{catalog}^ORsys_idIN{_ids(links)}"
    kind = request.parameter("sysparm_type").strip().lower()
    if kind == "record_producer":
        yield f"sys_class_name={PRODUCER}"
    elif kind == "catalog_item":
        yield f"sys_class_name!={PRODUCER}"
    yield "ORDERBYorder^ORDERBYname"


def _ids(links: Iterable[Record]) -> str:
    return ",".join(one.get(ITEM) for one in links) or "none"


def _catalog(viewer: Viewer, catalog: Record) -> Shown:
    items = f"active=true^sc_catalogsLIKE{catalog.sys_id}"
    return {
        "title": catalog.get("title"),
        "sys_id": catalog.sys_id,
        "has_categories": viewer.count("sc_category", f"sc_catalog={catalog.sys_id}") > 0,
        "has_items": viewer.count(ITEM, items) > 0,
        "description": catalog.get("description"),
        "desktop_image": catalog.get("desktop_image"),
    }


def _category(viewer: Viewer, category: Record) -> Shown:
    below = viewer.find("sc_category", f"active=true^parent={category.sys_id}^ORDERBYtitle")
    return {
        "title": category.get("title"),
        "sys_id": category.sys_id,
        "description": category.get("description"),
        "full_description": category.get("full_name"),
        "icon": category.get("icon"),
        "header_icon": category.get("header_icon"),
        "homepage_image": category.get("homepage_image"),
        "count": viewer.count(ITEM, f"active=true^category={category.sys_id}"),
        "subcategories": [{"sys_id": one.sys_id, "title": one.get("title")} for one in below],
    }


def _item(viewer: Viewer, item: Record) -> Shown:
    category = item.get("category")
    shown = viewer.first("sc_category", f"sys_id={category}") if category else None
    ids = [one for one in item.get("sc_catalogs").split(",") if one]
    catalogs = viewer.find("sc_catalog", f"sys_idIN{','.join(ids)}") if ids else []
    return {
        "name": item.get("name"),
        "sys_id": item.sys_id,
        "type": "record_producer" if item.table == PRODUCER else "catalog_item",
        "sys_class_name": item.get("sys_class_name"),
        "short_description": item.get("short_description"),
        "description": item.get("description"),
        "category": {"sys_id": category, "title": shown.get("title") if shown else ""},
        "catalogs": [
            {"sys_id": one.sys_id, "active": one.get("active") == "true", "title": one.get("title")}
            for one in catalogs
        ],
        "order": int(item.get("order") or 0),
        "availability": item.get("availability"),
        "icon": item.get("icon"),
        "picture": item.get("picture"),
        "owner": item.get("owner"),
        "show_price": item.get("price") not in ("", "0"),
        "show_quantity": item.get("no_quantity") != "true",
        "visible_standalone": item.get("visible_standalone") == "true",
        "price": viewer.text(item, "price"),
        "localized_price": viewer.text(item, "price"),
        "recurring_price": viewer.text(item, "recurring_price"),
        "local_currency": "USD",
        "mandatory_attachment": False,
        "request_method": "",
    }


def _variable(viewer: Viewer, question: Record) -> Shown:
    kind = question.get("type")
    return {
        "id": f"IO:{question.sys_id}",
        "sys_id": question.sys_id,
        "name": question.get("name"),
        "label": question.get("question_text"),
        "type": int(kind or 0),
        "friendly_type": _FRIENDLY.get(kind, ""),
        "display_type": viewer.text(question, "type"),
        "order": int(question.get("order") or 0),
        "active": question.get("active") == "true",
        "mandatory": question.get("mandatory") == "true",
        "read_only": question.get("read_only") == "true",
        "render_label": True,
        "help_text": question.get("help_text"),
        "attributes": question.get("attributes"),
        "reference": question.get("reference"),
        "value": question.get("default_value"),
        "displayvalue": question.get("default_value"),
        "choices": list(_choices(viewer, question)) if kind in _WITH_CHOICES else [],
    }


def _choices(viewer: Viewer, question: Record) -> Iterator[Shown]:
    query = f"inactive=false^question={question.sys_id}^ORDERBYorder"
    for place, choice in enumerate(_asked(viewer, "question_choice", query)):
        yield {"index": place, "value": choice.get("value"), "label": choice.get("text")}
