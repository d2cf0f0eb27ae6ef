"""Exports: long ones come page by page, workbooks hold numbers and times, nothing is a formula."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator

import pytest
from lxml import etree

from midspan.api.tableread import rendered
from midspan.records import delete, insert
from midspan.security import SYSTEM

from .conftest import Site

SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
MANY = 1_203
FIELDS = "sysparm_fields=name,notes"


@pytest.fixture(scope="module")
def many(site: Site) -> Iterator[str]:
    """Buildings of four names, with long notes; three pages of them."""
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        done = records.apply_all(
            [
                insert("cmn_building", {"name": f"House {place % 4}", "notes": "n" * 300})
                for place in range(MANY)
            ]
        )
        ids = [one.sys_id for one in done if not hasattr(one, "error")]
    assert len(ids) == MANY
    yield f"sysparm_query=nameSTARTSWITHHouse&{FIELDS}"
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply_all([delete("cmn_building", sys_id) for sys_id in ids])


def get(site: Site, path: str, user: str = "admin") -> bytes:
    answer = site.send("GET", path, user=user)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("order", ["", "^ORDERBYname", "^ORDERBYDESCname"])
def test_a_long_file_has_every_row_once(site: Site, many: str, order: str) -> None:
    query = many.replace("&", f"{order}&", 1).replace(FIELDS, "sysparm_fields=name,sys_id,notes")
    answer = site.send("GET", f"/cmn_building_list.do?CSV&{query}", user="admin")
    assert "content-length" not in answer.headers
    head, *rows = csv.reader(io.StringIO(answer.text))
    assert head == ["name", "sys_id", "notes"]
    assert len({row[1] for row in rows}) == len(rows) == MANY
    names = [row[0] for row in rows]
    assert names == (sorted(names, reverse="DESC" in order) if order else names)


def test_only_one_page_is_read_at_a_time(
    site: Site, many: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def seen(*args: object) -> object:
        sizes.append(len(args[-1]))  # type: ignore[arg-type]
        return rendered(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("midspan.api.tablestream.rendered", seen)
    for word in ("CSV", "XML", "JSONv2", "XLSX"):
        sizes.clear()
        get(site, f"/cmn_building_list.do?{word}&{many}")
        assert sizes == [500, 500, 203], word


def test_a_long_list_of_records_is_json(site: Site, many: str) -> None:
    answer = site.send("GET", f"/cmn_building.do?JSONv2&{many}", user="admin")
    assert "content-length" not in answer.headers
    assert len(answer.json()["records"]) == MANY


def cells(content: bytes) -> list[list[tuple[str, str, str]]]:
    """Return kind, style and text of each cell of the only sheet."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        root = etree.fromstring(file.read("xl/worksheets/sheet1.xml"))
    return [
        [(c.get("t", "n"), c.get("s", "0"), "".join(map(str, c.itertext()))) for c in row]
        for row in root.iter(f"{SHEET}row")
    ]


def test_a_workbook_has_numbers_times_and_texts_but_no_formula(site: Site) -> None:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        values = {"short_description": "=1+1", "opened_at": "2026-01-30 12:00:00"}
        sys_id = records.apply(insert("incident", {**values, "correlation_id": "-5"})).sys_id
    columns = "short_description,opened_at,reassignment_count,priority,correlation_id,close_notes"
    path = f"/incident_list.do?XLSX&sys_id={sys_id}&sysparm_fields={columns}"
    head, row = cells(get(site, path))
    raw = cells(get(site, f"{path}&sysparm_display_value=false"))[1]
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("incident", sys_id))
    assert [text for _, _, text in head][:3] == [
        "Short description",
        "Opened",
        "Reassignment count",
    ]
    assert [kind for kind, _, _ in row] == ["inlineStr", "n", "n", "inlineStr", "inlineStr"]
    assert [text for _, _, text in row][:3] == ["=1+1", "46052.5", "0"]
    assert row[0][1] != row[3][1], "a text that looks like a formula carries the mark of a text"
    assert row[3][1] == row[4][1] == "0"
    assert (raw[3][0], raw[3][2]) == ("n", "5")


def test_a_column_that_may_not_be_read_is_empty_or_missing(site: Site) -> None:
    """The head stays where a client that counts columns expects it."""
    fields = "sysparm_fields=user_name,hashed_user_id,name&sysparm_query=user_name=ann"
    sheet = get(site, f"/sys_user_list.do?CSV&{fields}", "ann").decode()
    rows = list(csv.reader(io.StringIO(sheet)))
    assert rows == [["user_name", "hashed_user_id", "name"], ["ann", "", "<Ann>"]]
    every = get(site, "/sys_user.do?XML&sysparm_query=user_name=ann", "ann")
    assert b"<user_name>ann</user_name>" in every
    assert b"hashed_user_id" not in every
    assert b"<hashed_user_id" in get(site, "/sys_user.do?XML&sysparm_query=user_name=ann")


def test_the_cookie_alone_writes_nothing_as_json(site: Site) -> None:
    path = "/incident.do?JSONv2&sysparm_action=insert"
    signed_in = site.send("GET", "/api/now/table/sys_user?sysparm_limit=1", user="admin")
    cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    record = {"short_description": "forged"}
    refused = site.send("POST", path, json=record, headers=cookie)
    assert refused.status_code == 401
    token = {"X-UserToken": refused.headers["x-usertoken-response"]}
    done = site.send("POST", path, json=record, headers={**cookie, **token})
    assert done.json()["records"][0]["__status"] == "success"
    found = site.send(
        "GET", "/incident.do?JSONv2&sysparm_query=short_description=forged", headers=cookie
    )
    assert len(found.json()["records"]) == 1
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("incident", done.json()["records"][0]["sys_id"]))
