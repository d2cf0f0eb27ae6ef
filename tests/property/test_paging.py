"""Pages of a list while others write, on both databases.

Rows that are there throughout and whose sort keys stay the same come exactly once and in order,
whatever is inserted, deleted or changed between two pages. Without writers, pages are those that
numbers alone would give.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from midspan.api import Application
from midspan.api.deployment import deploy
from midspan.api.memoryfolder import MemoryFolder
from midspan.api.pagemarks import LIFETIME, MOST_MARKS, MOST_READINGS, PageMarks
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.query.keyset import Mark
from midspan.records import RecordTransaction, delete, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

PASSWORD = "correct horse"
READER = "a" * 31 + "1"
FILES = {
    "app.yaml": "name: pages\nlabel: Pages\nversion: 1.0.0\nrequires: [platform]\n",
    "tables/u_row.yaml": """
table: u_row
extendable: true
audit: false
fields:
  u_text: {}
  u_number: {type: integer}
  u_amount: {type: decimal}
  u_when: {type: glide_date_time}
  u_flag: {type: boolean}
  u_owner: {type: reference, to: u_keeper}
  u_note: {}
""",
    "tables/u_child_row.yaml": "table: u_child_row\nextends: u_row\naudit: false\nfields: {}\n",
    "tables/u_keeper.yaml": "table: u_keeper\naudit: false\nfields: {u_name: {display: true}}\n",
}
KEEPERS = {f"{n:032x}": name for n, name in enumerate(("Ann", "ann", "Bo", ""), 0x100)}
VALUES = st.fixed_dictionaries(
    {
        "u_text": st.sampled_from(["", "a", "A", "ß", "b%_\\'", "Z"]),
        "u_number": st.sampled_from(["", "-1", "2", "10"]),
        "u_amount": st.sampled_from(["", "1.5", "10", "2"]),
        "u_when": st.sampled_from(["", "2026-01-01 00:00:00", "2026-01-02 10:00:00"]),
        "u_flag": st.sampled_from(["", "true", "false"]),
        "u_owner": st.sampled_from(["", *KEEPERS]),
        "u_note": st.sampled_from(["", "x"]),
    }
)
KEYS = ("u_text", "u_number", "u_amount", "u_when", "u_flag", "u_owner", "u_owner.u_name", "sys_id")
ORDERS = st.lists(
    st.tuples(st.sampled_from(["ORDERBY", "ORDERBYDESC"]), st.sampled_from(KEYS)).map("".join),
    max_size=3,
)
CONDITIONS = st.sampled_from(["", "u_flag!=true", "u_numberISNOTEMPTY^ORu_text=a"])
TABLES = st.sampled_from(["u_row", "u_child_row"])
LASTING = [f"{n:032x}" for n in range(0x20, 0x2A)]
PASSING = [f"{n:032x}" for n in (*range(0x10, 0x14), *range(0x24F0, 0x24F4), *range(0x30, 0x34))]


class Reader:
    """An instance with somebody who reads it over HTTP."""

    def __init__(self, instance: Instance, runner: asyncio.Runner) -> None:
        self.instance = instance
        self.app: Application = instance.application()
        self._runner = runner
        folder = MemoryFolder({name: text.encode() for name, text in FILES.items()}, "pages")
        deploy(instance.records, SYSTEM, folder, dry_run=False)
        with instance.records.write(SYSTEM, enforce=False) as records:
            person = {"user_name": "bo", "name": "Bo", "user_password": PASSWORD}
            records.apply(insert("sys_user", person, sys_id=READER))
            role = next(iter(records.find("sys_user_role", "name=admin"))).sys_id
            records.apply(insert("sys_user_has_role", {"user": READER, "role": role}))
            for sys_id, name in KEEPERS.items():
                records.apply(insert("u_keeper", {"u_name": name}, sys_id=sys_id))

    def clear(self) -> None:
        with self.instance.records.write(SYSTEM, enforce=False) as records:
            for record in records.find("u_row", ""):
                records.apply(delete(record.table, record.sys_id))

    def page(
        self, table: str, query: str, offset: int, limit: int, agent: str = "one"
    ) -> tuple[list[str], int, str]:
        """Return the ids of a page, the total and the Link header."""
        params = {
            "sysparm_query": query,
            "sysparm_fields": "sys_id,u_text",
            "sysparm_offset": str(offset),
            "sysparm_limit": str(limit),
        }
        got = self._runner.run(self._get(f"/api/now/table/{table}", params, agent))
        assert got.status_code == 200, got.text
        assert all(set(row) == {"sys_id", "u_text"} for row in got.json()["result"])
        ids = [row["sys_id"] for row in got.json()["result"]]
        return ids, int(got.headers["x-total-count"]), got.headers.get("link", "")

    async def _get(self, path: str, params: dict[str, str], agent: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inst.example") as client:
            return await client.get(
                path, params=params, headers={"User-Agent": agent}, auth=("bo", PASSWORD)
            )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    new_database: Callable[[], str] = (
        request.getfixturevalue("new_database") if request.param == "postgresql" else str
    )
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        instance = stack.enter_context(open_instance(new_database(), clock=ManualClock()))
        found = Reader(instance, runner)
        stack.callback(found.app.close)
        yield found


SETTINGS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@st.composite
def writers(draw: st.DrawFn) -> list[tuple[str, str, dict[str, str]]]:
    """Draw writes on rows that come and go, and harmless ones on those that last."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["insert", "insert", "delete", "move", "touch"]))
        sys_id = draw(st.sampled_from(LASTING if kind == "touch" else PASSING))
        found.append((kind, sys_id, draw(VALUES)))
    return found


def write(records: RecordTransaction, kind: str, sys_id: str, values: dict[str, str]) -> None:
    there = records.get("u_row", sys_id) is not None
    if kind == "touch":
        # Neither a sort key nor anything that a condition asks.
        records.apply(update("u_row", sys_id, {"u_note": values["u_note"] + "!"}))
    elif kind == "insert" and not there:
        records.apply(insert("u_child_row", values, sys_id=sys_id))
    elif kind == "delete" and there:
        records.apply(delete("u_row", sys_id))
    elif kind == "move" and there:
        records.apply(update("u_row", sys_id, values))


@SETTINGS
@given(data=st.data(), table=TABLES, order=ORDERS, condition=CONDITIONS, limit=st.integers(1, 4))
def test_lasting_rows_come_once_while_others_write(
    reader: Reader, data: st.DataObject, table: str, order: list[str], condition: str, limit: int
) -> None:
    reader.clear()
    with reader.instance.records.write(SYSTEM, enforce=False) as records:
        for sys_id in LASTING:
            records.apply(insert("u_child_row", data.draw(VALUES), sys_id=sys_id))
        for sys_id in PASSING[::2]:
            records.apply(insert("u_child_row", data.draw(VALUES), sys_id=sys_id))
    query = "^".join(filter(None, (condition, *order)))
    whole, _, _ = reader.page(table, query, 0, 1000, "another")
    wanted = [sys_id for sys_id in whole if sys_id in LASTING]
    seen: list[str] = []
    offset, moved = 0, 0
    while True:
        ids, total, link = reader.page(table, query, offset, limit)
        seen += ids
        assert total >= offset + len(ids)
        offset += limit
        if 'rel="next"' not in link:
            break
        assert len(ids) == limit, "a page before the last one is full"
        with reader.instance.records.write(SYSTEM, enforce=False) as records:
            for change in data.draw(writers()):
                moved += change[0] != "touch"
                write(records, *change)
    event(f"pages: {min(offset // limit, 5)}, writes: {min(moved, 5)}")
    assert [sys_id for sys_id in seen if sys_id in LASTING] == wanted


@SETTINGS
@given(data=st.data(), table=TABLES, order=ORDERS, condition=CONDITIONS, limit=st.integers(1, 5))
def test_without_writers_pages_are_those_of_the_numbers(
    reader: Reader, data: st.DataObject, table: str, order: list[str], condition: str, limit: int
) -> None:
    """In any order of asking, also again and beyond the end."""
    reader.clear()
    with reader.instance.records.write(SYSTEM, enforce=False) as records:
        for sys_id in LASTING:
            records.apply(insert("u_child_row", data.draw(VALUES), sys_id=sys_id))
    query = "^".join(filter(None, (condition, *order)))
    whole, count, _ = reader.page(table, query, 0, 1000, "another")
    offsets = data.draw(st.lists(st.integers(0, 12), min_size=3, max_size=8))
    for offset in [*range(0, count + limit, limit), *offsets]:
        ids, total, _ = reader.page(table, query, offset, limit)
        assert (ids, total) == (whole[offset : offset + limit], count)


def test_a_new_reading_forgets_the_one_before(reader: Reader) -> None:
    """Who begins again and then reads pages side by side gets them by number."""
    reader.clear()
    ids = [f"{n:032x}" for n in range(0x40, 0x4A)]
    with reader.instance.records.write(SYSTEM, enforce=False) as records:
        for sys_id in ids[2:]:
            records.apply(insert("u_row", {}, sys_id=sys_id))
    for offset in (0, 2, 4, 6):
        assert reader.page("u_row", "", offset, 2)[0] == ids[2 + offset : 4 + offset]
    with reader.instance.records.write(SYSTEM, enforce=False) as records:
        for sys_id in ids[:2]:
            records.apply(insert("u_row", {}, sys_id=sys_id))
    assert reader.page("u_row", "", 4, 2, "another")[0] == ids[4:6]
    assert reader.page("u_row", "", 4, 2)[0] == ids[6:8], "goes on where it was"
    assert reader.page("u_row", "", 0, 2)[0] == ids[:2]
    assert reader.page("u_row", "", 4, 2)[0] == ids[4:6]
    assert reader.page("u_row", "", 2, 2)[0] == ids[2:4]


def marks() -> tuple[PageMarks, ManualClock]:
    clock = ManualClock()
    return PageMarks(clock), clock


def test_marks_are_forgotten_in_time_and_number() -> None:
    found, clock = marks()
    end = Mark(("x",), "1")
    found.keep(b"a", 10, end)
    assert found.find(b"a", 10) == end
    assert found.find(b"a", 11) is None
    assert found.find(b"b", 10) is None
    clock.advance(LIFETIME - timedelta(seconds=1))
    assert found.find(b"a", 10) == end
    clock.advance(timedelta(seconds=2))
    assert found.find(b"a", 10) is None
    for offset in range(1, MOST_MARKS + 2):
        found.keep(b"a", offset, end)
    assert [found.find(b"a", offset) for offset in (1, 2)] == [None, end]
    for number in range(MOST_READINGS):
        found.keep(number.to_bytes(4, "big"), 1, end)
    assert found.find(b"a", 2) is None
    found.keep(b"a", 3, Mark(("x" * 5000,), "1"))
    assert found.find(b"a", 3) is None


def test_links_are_the_same_with_and_without_a_mark(reader: Reader) -> None:
    reader.clear()
    with reader.instance.records.write(SYSTEM, enforce=False) as records:
        for sys_id in LASTING:
            records.apply(insert("u_row", {}, sys_id=sys_id))

    def links(agent: str, offsets: tuple[int, ...]) -> list[Any]:
        pages = [reader.page("u_row", "", offset, 3, agent) for offset in offsets]
        return [(total, re.sub(r"_offset=\d+", "", link)) for _, total, link in pages]

    assert links("walks", (0, 3, 6, 9))[1:] == [
        page for offset in (3, 6, 9) for page in links(f"jumps {offset}", (offset,))
    ]
