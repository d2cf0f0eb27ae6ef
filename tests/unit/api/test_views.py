"""Views from records: lists and forms of pages, lists of one's own, changes while it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from midspan.records import Change, delete, insert, update
from midspan.security import SYSTEM, Actor

from .test_pages import BROWSER, USER, signed_in

ADMIN = "6816f79cc0a8016401c5a33be04be441"
VIEW, LIST, OWN, FORM, SECOND, MORE = (f"{n:032x}" for n in range(0x700, 0x706))


@pytest.fixture
def laid_out(site: Any) -> Iterator[Any]:
    """Lay out lists and a form of incidents; take all of it away at the end."""
    rows = [
        ("sys_ui_view", VIEW, {"name": "probe", "title": "Probe"}),
        ("sys_ui_list", LIST, {"name": "task", "view": ""}),
        ("sys_ui_list", OWN, {"name": "incident", "view": "", "sys_user": USER}),
        ("sys_ui_section", FORM, {"name": "incident", "view": VIEW}),
        ("sys_ui_section", SECOND, {"name": "incident", "view": VIEW, "caption": "Who"}),
        ("sys_ui_form", MORE, {"name": "incident", "view": VIEW}),
    ]
    for place, (owner, key, element) in enumerate(
        [
            ("sys_ui_list_element", LIST, "number"),
            ("sys_ui_list_element", LIST, "opened_by.name"),
            ("sys_ui_list_element", OWN, "state"),
            ("sys_ui_element", FORM, "close_notes"),
            ("sys_ui_element", FORM, ".split"),
            ("sys_ui_element", FORM, "short_description"),
            ("sys_ui_element", SECOND, "caller_id"),
            ("sys_ui_element", SECOND, "caller_id.user_name"),
        ]
    ):
        link = "list_id" if owner == "sys_ui_list_element" else "sys_ui_section"
        values = {link: key, "element": element, "position": str(place)}
        rows.append((owner, f"{0x710 + place:032x}", values))
    for place, section in enumerate((SECOND, FORM)):
        values = {"sys_ui_form": MORE, "sys_ui_section": section, "position": str(place)}
        rows.append(("sys_ui_form_section", f"{0x730 + place:032x}", values))
    changed(site, *(insert(table, values, sys_id=sys_id) for table, sys_id, values in rows))
    yield site
    changed(site, *(delete(table, sys_id) for table, sys_id, _ in reversed(rows)))


def changed(site: Any, *changes: Change) -> None:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        for change in changes:
            records.apply(change)


def heads(page: str) -> list[str]:
    return re.findall(r"<th(?: scope=(?:col|row))?>([^<]*)</th>", page)


def test_a_list_is_as_the_default_view_says(laid_out: Any) -> None:
    page = laid_out.send("GET", "/nav/incident", headers=signed_in(laid_out, "admin"))
    assert heads(page.text) == ["Number", "Name"]


def test_a_list_of_ones_own_goes_first(laid_out: Any) -> None:
    changed(laid_out, update("sys_ui_list", OWN, {"sys_user": ADMIN}))
    page = laid_out.send("GET", "/nav/incident", headers=signed_in(laid_out, "admin"))
    assert heads(page.text) == ["State"]


def test_a_form_has_the_sections_of_its_view_in_order(laid_out: Any) -> None:
    headers = signed_in(laid_out, "admin")
    page = laid_out.send("GET", f"/nav/incident/{USER}?sysparm_view=probe", headers=headers).text
    assert heads(page)[:4] == ["Caller", "User ID", "Close notes", "Short description"]
    assert "<h2>Who</h2>" in page
    plain = laid_out.send("GET", f"/nav/incident/{USER}", headers={**BROWSER, **headers}).text
    assert "Close notes" not in heads(plain)
    assert "Priority" in heads(plain)


def test_a_form_has_the_related_lists_of_its_view(laid_out: Any) -> None:
    headers = signed_in(laid_out, "admin")
    lists, entry, child = (f"{n:032x}" for n in range(0x740, 0x743))
    made = [
        insert("sys_ui_related_list", {"name": "task", "view": VIEW}, sys_id=lists),
        insert(
            "sys_ui_related_list_entry",
            {
                "list_id": lists,
                "related_list": "incident.parent_incident",
                "filter": "number=NONE^NQactive=true",
            },
            sys_id=entry,
        ),
        insert("incident", {"number": "CHILD1", "parent_incident": USER}, sys_id=child),
        insert("incident", {"number": "OTHER1"}, sys_id=f"{0x743:032x}"),
    ]
    changed(laid_out, *made)
    page = laid_out.send("GET", f"/nav/incident/{USER}?sysparm_view=probe", headers=headers).text
    assert "<h2>Incidents</h2>" in page
    assert "CHILD1" in page
    assert "OTHER1" not in page
    plain = laid_out.send("GET", f"/nav/incident/{USER}", headers=headers).text
    assert "CHILD1" not in plain
    changed(laid_out, *(delete(one.table, one.sys_id) for one in reversed(made)))


def test_a_near_name_of_a_view_is_told_in_strict_mode(laid_out: Any) -> None:
    path = f"/api/now/table/incident/{USER}?sysparm_view=prob"
    answer = laid_out.send("GET", path, user="admin", headers={"X-Midspan-Strict": "true"})
    assert answer.json()["error"]["detail"] == (
        "View left out: table incident has no view prob. Did you mean 'probe'?"
    )


def test_a_change_of_a_layout_is_seen_at_once(laid_out: Any) -> None:
    path = f"/api/now/table/incident/{USER}?sysparm_view=probe"
    assert list(laid_out.send("GET", path, user="admin").json()["result"]) == [
        "caller_id",
        "caller_id.user_name",
        "close_notes",
        "short_description",
    ]
    changed(laid_out, update("sys_ui_element", f"{0x713:032x}", {"element": "priority"}))
    shown = laid_out.send("GET", path, user="admin").json()["result"]
    assert shown["priority"] == "5"
    assert "close_notes" not in shown
    changed(laid_out, update("sys_ui_view", VIEW, {"name": "other"}))
    assert "sys_id" in laid_out.send("GET", path, user="admin").json()["result"]


def test_an_own_list_is_made_without_a_role(site: Any) -> None:
    with site.instance.records.write(Actor(sys_id=USER, user_name="ann")) as records:
        made = records.apply(insert("sys_ui_list", {"name": "incident", "sys_user": USER})).sys_id
        column = records.apply(
            insert("sys_ui_list_element", {"list_id": made, "element": "number"})
        ).sys_id
        assert records.first("sys_ui_list", f"sys_id={made}") is not None
    changed(site, delete("sys_ui_list_element", column), delete("sys_ui_list", made))
