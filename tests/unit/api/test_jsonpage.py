"""A list that the database makes JSON of says what a list of rows does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midspan.dictionary import Storage
from midspan.query import ReadOptions, parse, plan_read
from midspan.records import delete, insert
from midspan.security import SYSTEM
from midspan.storage import POSTGRESQL, SQLITE, compile_json_page
from midspan.storage.jsonpage import MOST_MEMBERS, MOST_ROWS

LIST = "/api/now/table/incident"
TEXTS = (
    "quotes \" and \\ and / and ' and </script>",
    "".join(map(chr, range(1, 32))) + "\x7f\x85\u2028\u2029",
    "ÄÖ İ 漢字 \U0001f600 \uffff",
    "{}[],:null 1e5 true",
    "",
    " ",
)
FIELDS = (
    "short_description,sys_id,state,active,caller_id,opened_at,business_duration,description,"
    "caller_id.name,no_such_field,comments"
)


@pytest.fixture(scope="module", autouse=True)
def incidents(site: Any) -> Any:
    rows = [
        {"short_description": text, "description": text, "caller_id": "a" * 32, "category": "json"}
        for text in TEXTS
    ]
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        made = [records.apply(insert("incident", row)).sys_id for row in rows]
    yield made
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        for sys_id in made:
            records.apply(delete("incident", sys_id))


def fetched(site: Any, monkeypatch: pytest.MonkeyPatch, query: str, *, by_rows: bool) -> Any:
    """Return status, headers that count, body, and how many lists were made by the database."""
    made: list[bool] = []

    def compiled(*args: Any) -> Any:
        statement = None if by_rows else compile_json_page(*args)
        made.append(statement is not None)
        return statement

    monkeypatch.setattr("midspan.records.transaction.compile_json_page", compiled)
    answer = site.send("GET", f"{LIST}?{query}", user="admin")
    kept = ("x-total-count", "link", "x-midspan-warning", "content-type")
    headers = {name: answer.headers[name] for name in kept if name in answer.headers}
    return (answer.status_code, headers, json.loads(answer.content)), made


@pytest.mark.parametrize(
    "query",
    [
        f"sysparm_query=category=json^ORDERBYshort_description&sysparm_fields={FIELDS}",
        f"sysparm_query=category=json^ORDERBYDESCcaller_id.name&sysparm_fields={FIELDS}",
        f"category=json&sysparm_fields={FIELDS}&sysparm_limit=2&sysparm_offset=3",
        "category=json&sysparm_fields=number&sysparm_limit=1&sysparm_no_count=true",
        "category=nothing&sysparm_fields=number,state",
    ],
)
def test_both_ways_give_the_same(site: Any, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    wanted = f"{query}&sysparm_exclude_reference_link=true"
    if "sysparm_limit" not in wanted:
        wanted += "&sysparm_limit=100"
    by_rows, _ = fetched(site, monkeypatch, wanted, by_rows=True)
    by_text, made = fetched(site, monkeypatch, wanted, by_rows=False)
    assert made == [True]
    assert by_text == by_rows
    assert by_text[0] == 200


@pytest.mark.parametrize("query", ["sysparm_fields=number&sysparm_limit=5000", "sysparm_limit=9"])
def test_long_and_wide_pages_are_read_row_by_row(
    site: Any, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    wanted = f"category=json&sysparm_exclude_reference_link=true&{query}"
    (status, _, body), made = fetched(site, monkeypatch, wanted, by_rows=False)
    assert made == [False]
    assert (status, len(body["result"])) == (200, len(TEXTS))


def test_pages_go_on_behind_the_row_that_the_page_before_ended_with(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = "category=json&sysparm_fields=sys_id&sysparm_limit=2&sysparm_exclude_reference_link=true"
    base += "&sysparm_query=ORDERBYshort_description"
    first, _ = fetched(site, monkeypatch, f"{base}&sysparm_offset=0", by_rows=False)
    before = insert("incident", {"short_description": " ", "category": "json"}, sys_id="0" * 32)
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(before)
    try:
        second, made = fetched(site, monkeypatch, f"{base}&sysparm_offset=2", by_rows=False)
    finally:
        with site.instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(delete("incident", "0" * 32))
    assert made == [True]
    seen = {row["sys_id"] for row in first[2]["result"]}
    assert not seen & {row["sys_id"] for row in second[2]["result"]}


def test_xml_and_display_values_are_made_of_rows(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "category=json&sysparm_fields=number,state&sysparm_display_value=true"
    (_, _, body), made = fetched(site, monkeypatch, wanted, by_rows=False)
    assert made == []
    assert body["result"][0]["state"] == "New"


def test_a_page_is_compiled_only_where_it_fits(site: Any) -> None:
    dictionary = site.instance.holder.current().dictionary
    options = ReadOptions(columns=("number", "sys_id"), limit=MOST_ROWS)
    plan = plan_read(dictionary, "incident", parse("active=true"), options)
    members = (("number", 0), ("password", -1))
    made = compile_json_page(plan, dictionary, SQLITE, members, (1,))
    assert made is not None
    assert "'password', ''" in made.sql
    assert compile_json_page(plan, dictionary, POSTGRESQL, members, (1,)) is None
    assert compile_json_page(plan, dictionary, SQLITE, (), (1,)) is None
    wide = (("number", 0),) * (MOST_MEMBERS + 1)
    assert compile_json_page(plan, dictionary, SQLITE, wide, (1,)) is None


def test_every_stored_value_is_read_as_a_text(site: Any) -> None:
    """Or JSON would have numbers where rows have texts."""
    fields = site.instance.holder.current().dictionary.table("incident").fields.values()
    for field in fields:
        if field.storage is not Storage.NONE:
            assert SQLITE.column_type(field.storage) in ("TEXT", "INTEGER")
            kept = SQLITE.column_type(field.storage) == "TEXT"
            assert kept or SQLITE.read("c", field.storage) != "c"
