"""The parity page is what the cases of today make of it."""

from __future__ import annotations

from .parity import CASES, NAMES, PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "Renew it: .venv/bin/python tests/conformance/parity.py"


def test_every_folder_of_cases_has_a_name() -> None:
    assert {path.parent.name for path in CASES.glob("*/*.yaml")} == set(NAMES)


def test_every_case_is_on_the_page() -> None:
    text = PAGE.read_text()
    assert [path.name for path in CASES.glob("*/*.yaml") if f"/{path.name})" not in text] == []
