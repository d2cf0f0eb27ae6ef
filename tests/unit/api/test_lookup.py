"""What a text in a reference field means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from midspan.dictionary import Field
from midspan.records import RecordTransaction, insert
from midspan.records.lookup import resolve_reference
from midspan.security import SYSTEM, Actor

USER = "a" * 32


@pytest.fixture
def records(site: Any) -> Iterator[RecordTransaction]:
    with site.instance.records.read(SYSTEM, enforce=False) as transaction:
        yield transaction


def field(records: RecordTransaction, name: str = "caller_id") -> Field:
    return records.dictionary.field("incident", name)


@pytest.mark.parametrize("text", [USER, "ann", "ANN", "<Ann>", " <ann> "])
def test_a_user_is_found(records: RecordTransaction, text: str) -> None:
    assert resolve_reference(records, field(records), text) == USER


def test_what_looks_like_a_sys_id_is_taken_as_one(records: RecordTransaction) -> None:
    assert resolve_reference(records, field(records), "F" * 32) == "F" * 32


def test_nobody_is_found(records: RecordTransaction) -> None:
    assert resolve_reference(records, field(records), "a^ORb=1") is None
    assert resolve_reference(records, field(records), "") == ""


def test_the_global_domain_is_no_record(records: RecordTransaction) -> None:
    assert resolve_reference(records, field(records, "sys_domain"), "global") == "global"


def test_a_record_that_may_not_be_read_is_not_found(site: Any) -> None:
    stranger = Actor(sys_id="f" * 32, user_name="stranger")
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(insert("sys_script", {"name": "Hidden rule"}, sys_id="e" * 32))
        seen = Field(name="rule", label="Rule", type="reference", reference="sys_script")
        assert resolve_reference(records, seen, "Hidden rule") == "e" * 32
    with site.instance.records.read(stranger) as records:
        assert resolve_reference(records, seen, "Hidden rule") is None
