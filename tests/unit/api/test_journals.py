"""Journals as the Table API shows them."""

from __future__ import annotations

import re

from midspan.records import insert, update
from midspan.security import SYSTEM

from .conftest import Site

RECORD = "7" * 32


def test_entries_of_one_second_come_in_the_order_of_writing(site: Site) -> None:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(insert("incident", {"short_description": "told"}, sys_id=RECORD))
        for number in range(8):
            records.apply(update("incident", RECORD, {"work_notes": f"note {number}"}))
    path = f"/api/now/table/incident/{RECORD}?sysparm_fields=work_notes&sysparm_display_value=true"
    shown = site.send("GET", path, user="admin").json()["result"]["work_notes"]
    assert re.findall(r"note (\d)", shown) == [str(number) for number in reversed(range(8))]
