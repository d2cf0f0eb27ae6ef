"""Orders of the service catalogue: what is written, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from midspan.records import Record, delete, insert
from midspan.security import SYSTEM

from .conftest import USER, Site

ROOT = "/api/sn_sc/servicecatalog"
ITEM, RAM, WHY = "1" * 32, "2" * 32, "3" * 32
ROWS = (
    ("sc_cat_item", ITEM, {"name": "Laptop", "price": "10.50"}),
    ("item_option_new", RAM, {"name": "ram", "cat_item": ITEM, "default_value": "32"}),
    ("item_option_new", WHY, {"name": "why", "cat_item": ITEM, "mandatory": "true"}),
)
ORDER = {"sysparm_quantity": "3", "variables": {"why": "Travel"}}


@pytest.fixture(autouse=True)
def catalogue(site: Site) -> Iterator[None]:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        for table, sys_id, values in ROWS:
            records.apply(insert(table, values, sys_id=sys_id))
    yield
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        for table, sys_id, _ in ROWS:
            records.apply(delete(table, sys_id))


def post(site: Site, path: str, body: dict[str, Any], status: int = 200) -> Any:
    answer = site.send("POST", f"{ROOT}/{path}", user="ann", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()["result"] if status == 200 else answer.json()["error"]


def rows(site: Site, table: str, query: str) -> list[Record]:
    with site.instance.records.read(SYSTEM, enforce=False) as records:
        return records.find(table, query)


def answers(site: Site, item: str) -> dict[str, str]:
    """Return what was answered for a requested item, by question."""
    links = rows(site, "sc_item_option_mtom", f"request_item={item}")
    ids = ",".join(link.get("sc_item_option") for link in links)
    found = rows(site, "sc_item_option", f"sys_idIN{ids}")
    return {one.get("item_option_new"): one.get("value") for one in found}


def test_an_order_is_a_request_with_items_and_answers(site: Site) -> None:
    placed = post(site, f"items/{ITEM}/order_now", ORDER)
    (made,) = rows(site, "sc_request", f"number={placed['request_number']}")
    assert (made.get("requested_for"), made.get("opened_by")) == (USER, USER)
    assert (made.get("price"), made.get("sys_created_by")) == ("31.5", "ann")
    (item,) = rows(site, "sc_req_item", f"request={made.sys_id}")
    assert (item.get("cat_item"), item.get("quantity"), item.get("price")) == (ITEM, "3", "31.5")
    assert answers(site, item.sys_id) == {RAM: "32", WHY: "Travel"}
    own = site.send("GET", f"/sc_req_item.do?JSONv2&sysparm_sys_id={item.sys_id}", user="ann")
    assert [one["number"] for one in own.json()["records"]] == [item.get("number")]


def test_a_cart_becomes_one_request(site: Site) -> None:
    post(site, f"items/{ITEM}/add_to_cart", ORDER)
    cart = post(site, f"items/{ITEM}/add_to_cart", {**ORDER, "sysparm_quantity": 1})
    assert (cart["subtotal"], len(cart["items"])) == ("$42.00", 2)
    placed = post(site, "cart/submit_order", {})
    items = rows(site, "sc_req_item", f"request={placed['request_id']}")
    assert sorted(item.get("quantity") for item in items) == ["1", "3"]
    assert [answers(site, item.sys_id)[WHY] for item in items] == ["Travel", "Travel"]
    assert rows(site, "sc_cart_item", "") == []
    assert rows(site, "sc_item_option", "cart_itemISNOTEMPTY") == []
    assert post(site, "cart/submit_order", {}, 400)["message"] == "The cart is empty"


def test_what_leaves_the_cart_takes_its_answers_along(site: Site) -> None:
    cart = post(site, f"items/{ITEM}/add_to_cart", ORDER)
    assert len(rows(site, "sc_item_option", "cart_itemISNOTEMPTY")) == 2
    line = cart["items"][0]["cart_item_id"]
    others = site.send("DELETE", f"{ROOT}/cart/{line}", user="admin")
    assert others.status_code == 404
    gone = site.send("DELETE", f"{ROOT}/cart/{line}", user="ann")
    assert gone.status_code == 204
    assert rows(site, "sc_item_option", "cart_itemISNOTEMPTY") == []
    assert rows(site, "sc_cart_item", "") == []


def test_nothing_is_ordered_that_is_not_seen_any_more(site: Site) -> None:
    post(site, f"items/{ITEM}/add_to_cart", ORDER)
    before = len(rows(site, "sc_request", ""))
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("sc_cat_item", ITEM))
    assert post(site, "cart/submit_order", {}, 404)["message"] == "No Record found"
    assert len(rows(site, "sc_request", "")) == before
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(insert(*ROWS[0][::2], sys_id=ITEM))
    cart = site.send("GET", f"{ROOT}/cart", user="ann").json()["result"]["cart_id"]
    site.send("DELETE", f"{ROOT}/cart/{cart}/empty", user="ann")


def test_questions_of_a_set_are_asked_of_everybody(site: Site) -> None:
    shared = (
        ("item_option_new_set", "4" * 32, {"title": "Delivery"}),
        ("io_set_item", "5" * 32, {"sc_cat_item": ITEM, "variable_set": "4" * 32}),
        (
            "item_option_new",
            "6" * 32,
            {"name": "to", "variable_set": "4" * 32, "mandatory": "true"},
        ),
    )
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        for table, sys_id, values in shared:
            records.apply(insert(table, values, sys_id=sys_id))
    shown = site.send("GET", f"{ROOT}/items/{ITEM}/variables", user="ann").json()["result"]
    refused = post(site, f"items/{ITEM}/order_now", ORDER, 400)
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        for table, sys_id, _ in shared:
            records.apply(delete(table, sys_id))
    assert [one["name"] for one in shown] == ["ram", "why", "to"]
    assert refused == {"message": "Mandatory Variables are required", "detail": "to"}


def test_guides_and_producers_are_not_ordered(site: Site) -> None:
    for table in ("sc_cat_item_guide", "sc_cat_item_producer"):
        with site.instance.records.write(SYSTEM, enforce=False) as records:
            made = records.apply(insert(table, {"name": "No item"})).sys_id
        refused = post(site, f"items/{made}/order_now", {"sysparm_quantity": 1}, 400)
        with site.instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(delete(table, made))
        assert refused["message"] == "No item cannot be ordered"


def test_a_masked_answer_is_not_kept(site: Site) -> None:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        values = {"name": "pin", "cat_item": ITEM, "type": "25"}
        question = records.apply(insert("item_option_new", values)).sys_id
    wish = {"sysparm_quantity": 1, "variables": {"why": "x", "pin": "1234"}}
    refused = post(site, f"items/{ITEM}/order_now", wish, 400)
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("item_option_new", question))
    assert refused == {"message": "Masked variables are not kept", "detail": "pin"}
    assert rows(site, "sc_item_option", "value=1234") == []
