"""Trees of records: which references lead up, how far, and what cannot be used."""

from __future__ import annotations

import pytest

from midspan.dictionary import Dictionary, FieldSpec, TableSpec
from midspan.query import NEVER, Unknown, evaluate, parse, resolve_query
from midspan.query.hierarchy import DEEPEST

DICTIONARY = Dictionary.build(
    [
        TableSpec(
            name="place",
            fields=(
                FieldSpec(name="name", display=True),
                FieldSpec(name="parent", type="reference", reference="place"),
                FieldSpec(name="manager", type="reference", reference="person"),
            ),
        ),
        TableSpec(
            name="person",
            fields=(
                FieldSpec(name="name", display=True),
                FieldSpec(name="manager", type="reference", reference="person"),
                FieldSpec(name="mentor", type="reference", reference="person"),
                FieldSpec(name="place", type="reference", reference="place"),
            ),
        ),
        TableSpec(
            name="note", fields=(FieldSpec(name="note", type="reference", reference="note"),)
        ),
    ]
)
ROOT = "f" * 32


def steps(text: str, table: str = "person") -> list[str]:
    condition, warnings = resolve_query(DICTIONARY, table, parse(text))
    assert warnings == ()
    return [part.split("IN")[0] for part in str(condition).strip("()").split(" OR ")]


@pytest.mark.parametrize(
    ("text", "table", "first"),
    [
        (f"placeIN_HIERARCHY1234@{ROOT}", "person", ["place", "place.parent"]),
        (f"managerIN_HIERARCHY1234@{ROOT}", "person", ["manager", "manager.manager"]),
        (f"managerIN_HIERARCHYmentor@{ROOT}", "person", ["manager", "manager.mentor"]),
        (f"managerIN_HIERARCHYplace@{ROOT}", "person", ["manager", "manager.manager"]),
        (f"sys_idIN_HIERARCHY@{ROOT}", "person", ["sys_id", "manager"]),
        (f"manager.sys_idIN_HIERARCHY@{ROOT}", "person", ["manager.sys_id", "manager.manager"]),
        (f"manager.placeIN_HIERARCHY@{ROOT}", "person", ["manager.place", "manager.place.parent"]),
    ],
)
def test_references_that_lead_up(text: str, table: str, first: list[str]) -> None:
    found = steps(text, table)
    assert found[:2] == first
    assert len(found) == DEEPEST + 1


def test_a_record_is_below_itself_and_a_tree_may_be_a_ring() -> None:
    tree = {"1": "", "2": "1", "3": "2", "4": "5", "5": "4"}
    query = parse(f"sys_idIN_HIERARCHYx@{'1'.zfill(32)}")
    condition, _ = resolve_query(DICTIONARY, "person", query)

    def below(start: str) -> bool:
        def get(path: object) -> str:
            here = start
            for name in getattr(path, "name", "").split("."):
                here = here if name == "sys_id" else tree.get(here, "")
            return here.zfill(32) if here else ""

        return evaluate(condition, get)

    assert [below(one) for one in tree] == [True, True, True, False, False]


@pytest.mark.parametrize(
    "text",
    [
        "managerIN_HIERARCHYx",
        f"nameIN_HIERARCHYx@{ROOT}",
        f"noteIN_HIERARCHYx@{ROOT}",
        f"managerIN_HIERARCHY_DYNAMICx@{ROOT}",
    ],
)
def test_what_cannot_be_used(text: str) -> None:
    table = "note" if text.startswith("note") else "person"
    assert len(resolve_query(DICTIONARY, table, parse(text))[1]) == 1
    assert resolve_query(DICTIONARY, table, parse(text), Unknown.NOTHING)[0] == NEVER


def test_a_tree_without_a_start_is_empty() -> None:
    assert resolve_query(DICTIONARY, "person", parse("managerIN_HIERARCHYx@"))[0] == NEVER
