"""What a GlideRecord shows after update(): what is stored of what it wrote, the rest as read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.scripting.conftest import Run

from midspan.instance import Instance
from midspan.records import delete, insert, update
from midspan.sandbox import JsonValue, Script
from midspan.scripting import PerWrite, ScriptRunner
from midspan.scripting.recordcalls_writes import WriteCalls
from midspan.security import SYSTEM, Actor

FIRST, SECOND = (f"{number:032x}" for number in (0xED1, 0xED2))
FIND = (
    "var gr = new GlideRecord('incident'); gr.addQuery('correlation_id', 'written'); "
    "gr.orderBy('number'); gr.query(); "
)
LATE = "['cate' + 'gory']"
"""A column that no text mentions."""


@pytest.fixture(autouse=True)
def two(instance: Instance) -> Iterator[None]:
    """Two incidents, gone afterwards."""
    with instance.records.write(SYSTEM) as transaction:
        for number, sys_id in enumerate((FIRST, SECOND)):
            values = {
                "number": f"INC{number}",
                "correlation_id": "written",
                "category": f"kept {number}",
                "close_notes": f"notes {number}",
            }
            transaction.apply(insert("incident", values, sys_id=sys_id))
    yield
    with instance.records.write(SYSTEM) as transaction:
        for found in transaction.find("incident", "correlation_id=written"):
            transaction.apply(delete("incident", found.sys_id))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what sessions are answered when they update."""
    seen: list[dict[str, Any]] = []
    original = WriteCalls.update

    def updated(self: WriteCalls, raw: Any) -> JsonValue:
        answer = original(self, raw)
        assert isinstance(answer, dict)
        seen.append(answer)
        return answer

    monkeypatch.setattr(WriteCalls, "update", updated)
    return seen


def test_the_answer_has_what_was_given_and_what_became_another(
    run: Run, answers: list[dict[str, Any]]
) -> None:
    shown = run(
        FIND + "gr.next(); gr.close_notes = 'new'; gr.number = 'INC0'; gr.update();"
        "['' + gr.close_notes, '' + gr.number, '' + gr.sys_mod_count, gr.isValidRecord()]"
    )
    assert shown == ["new", "INC0", "1", True]
    [answer] = answers
    stamps = {"sys_updated_on", "sys_updated_by", "sys_mod_count"}
    assert set(answer["changed"]) - stamps == {"close_notes", "number"}


def test_nothing_changed_is_nothing_new(run: Run, answers: list[dict[str, Any]]) -> None:
    text = FIND + "gr.next(); gr.update(); ['' + gr.number, '' + gr.sys_mod_count]"
    assert run(text) == ["INC0", "0"]
    assert answers == [{"changed": {}}]


def test_a_value_that_somebody_else_stored_as_well_is_shown(
    instance: Instance, runner: ScriptRunner
) -> None:
    with runner.session(PerWrite(instance.records, SYSTEM)) as session:
        session.run(Script("one", FIND + "gr.next(); gr.close_notes"), discard=True)
        with instance.records.write(SYSTEM) as transaction:
            transaction.apply(update("incident", FIRST, {"close_notes": "same"}))
        text = "gr.close_notes = 'same'; gr.update(); '' + gr.close_notes"
        assert session.run(Script("two", text)) == "same"


def test_what_rules_set_is_shown(instance: Instance, run: Run) -> None:
    rule = {
        "name": "Shout",
        "collection": "incident",
        "when": "before",
        "action_update": "true",
        "advanced": "true",
        "script": "current.category = (current.close_notes + '!').toUpperCase();",
    }
    with instance.records.write(SYSTEM) as transaction:
        made = transaction.apply(insert("sys_script", rule)).sys_id
    try:
        text = FIND + "gr.next(); gr.close_notes = 'new'; gr.update(); '' + gr.category"
        assert run(text) == "NEW!"
        again = "gr.setLocation(0); '' + gr.category"
        assert run(text + "; gr.next(); " + again) == "NEW!", "the cursor comes back to it"
    finally:
        with instance.records.write(SYSTEM) as transaction:
            transaction.apply(delete("sys_script", made))


@pytest.mark.parametrize("limit", ["", "gr.addQuery('number', 'INC1');"])
def test_columns_that_nobody_read_yet_are_as_they_are_stored(
    run: Run, limit: str, answers: list[dict[str, Any]]
) -> None:
    text = FIND.replace("gr.query();", f"{limit} gr.query();")
    text += f"""
    while (gr.next() && '' + gr.number !== 'INC1');
    gr{LATE} = 'set'; gr.update();
    var other = new GlideRecord('incident'); other.get('{SECOND}');
    other.close_notes = 'later'; other.update();
    ['' + gr{LATE}, '' + gr['close_' + 'notes'], '' + gr.number]"""
    assert run(text) == ["set", "notes 1", "INC1"]
    assert ["row" in answer for answer in answers] == [bool(limit), False]


def test_a_record_got_by_its_id_goes_on_with_all_its_columns(run: Run) -> None:
    text = f"""
    var gr = new GlideRecord('incident'); gr.get('{FIRST}');
    gr.short_description = 'once'; gr.update(); gr.short_description += ' more'; gr.update();
    ['' + gr.short_description, '' + gr.category, '' + gr.sys_mod_count]"""
    assert run(text) == ["once more", "kept 0", "2"]


def test_the_hash_of_a_password_does_not_come_back(run: Run, answers: list[dict[str, Any]]) -> None:
    text = """
    var user = new GlideRecord('sys_user'); user.initialize(); user.user_name = 'hash.test';
    user.insert();
    user.get('user_name', 'hash.test'); user.user_password = 'a secret of mine'; user.update();
    var shown = '' + user.user_password; user.deleteRecord(); shown"""
    assert run(text) == ""
    assert "user_password" not in answers[0]["changed"]


def test_a_secure_write_shows_what_may_be_read_and_no_more(
    instance: Instance, runner: ScriptRunner
) -> None:
    ann = Actor(sys_id="a" * 32, user_name="ann", roles=frozenset({"itil"}))
    rule = {
        "name": "Secret",
        "collection": "incident",
        "when": "before",
        "action_insert": "true",
        "action_update": "true",
        "advanced": "true",
        "script": "current.category = 'a secret of ' + current.close_notes;",
    }
    with instance.records.write(SYSTEM) as transaction:
        closed = {"name": "incident.category", "operation": "read", "condition": "number=nowhere"}
        made = [
            ("sys_script", transaction.apply(insert("sys_script", rule)).sys_id),
            ("sys_security_acl", transaction.apply(insert("sys_security_acl", closed)).sys_id),
        ]
    text = """
    var gr = new GlideRecordSecure('incident'), out = [];
    function note(id) {
      out.push(!!id, '' + gr.category, gr.getValue('category'), '' + gr.close_notes);
    }
    gr.initialize(); gr.correlation_id = 'written'; gr.close_notes = 'one'; note(gr.insert());
    gr.close_notes = 'two'; note(gr.update());
    gr.get(gr.getUniqueValue()); gr.close_notes = 'three'; note(gr.update());
    var open = new GlideRecord('incident'); open.get(gr.getUniqueValue());
    out.concat('' + open.category)"""
    try:
        shown = runner.run(Script("s", text), unit=PerWrite(instance.records, ann))
    finally:
        with instance.records.write(SYSTEM) as transaction:
            for table, sys_id in made:
                transaction.apply(delete(table, sys_id))
    hidden = [[True, "", None, notes] for notes in ("one", "two", "three")]
    assert shown == [*hidden[0], *hidden[1], *hidden[2], "a secret of three"]
