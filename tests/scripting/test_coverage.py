"""The coverage page is what the cases of today make of it."""

from __future__ import annotations

from .coverage import PAGE, held, page, wanted


def test_the_page_is_current() -> None:
    expected = page()
    assert PAGE.read_text(encoding="utf-8") == expected, (
        "Renew it: .venv/bin/python tests/scripting/coverage.py"
    )


def test_the_names_are_those_of_the_package() -> None:
    classes, used = wanted()
    assert len(classes["GlideRecord"]) > 100
    assert {"addQuery", "next", "getValue"} <= classes["GlideRecord"]
    assert len(used) == len(set(used)) >= 250 - 10


def test_what_is_partial_is_held() -> None:
    found = held()
    assert [key for key in found.partial if key[1] not in found.methods[key[0]]] == []
