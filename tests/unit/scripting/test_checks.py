"""What scripts may expect, as data: each text in ``checks.yaml`` gives the JSON beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from midspan.instance import Instance
from midspan.records import insert
from midspan.security import SYSTEM

CASES: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("checks.yaml").read_text(encoding="utf-8")
)
BOSS, ANNA, BEN = ("b" * 31 + str(number) for number in range(3))
ROWS = [
    ("first", "1", ANNA),
    ("second", "2", ANNA),
    ("third ^ hat", "3", BEN),
    ("fourth", "3", ""),
]


@pytest.fixture(scope="module", autouse=True)
def records(instance: Instance) -> None:
    """Three users, one the manager of another, and four incidents."""
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        for sys_id, name, manager in ((BOSS, "Boss", ""), (ANNA, "Anna", BOSS), (BEN, "Ben", "")):
            values = {"user_name": name.lower(), "name": name, "manager": manager}
            first = {"first_name": name, "last_name": "Check"}
            transaction.apply(insert("sys_user", {**values, **first}, sys_id=sys_id))
        for position, (text, impact, caller) in enumerate(ROWS):
            values = {
                "short_description": text,
                "impact": impact,
                "caller_id": caller,
                "category": "check",
                "opened_at": f"2026-01-0{position + 1} 10:00:00",
            }
            transaction.apply(insert("incident", values, sys_id="c" * 31 + str(position)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["about"]))
def test_check(case: dict[str, Any], run: Callable[[str], Any]) -> None:
    assert run(case["script"]) == case["gives"]


def test_there_are_enough_checks_with_different_names() -> None:
    names = [case["about"] for case in CASES]
    assert len(names) >= 40
    assert len(set(names)) == len(names)
