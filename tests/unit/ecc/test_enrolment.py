"""One-time codes, keys, an administrator's word and generations; on both databases."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from midspan.ecc.enrolment import CODE_LIFE, Enrolments, MidServer
from midspan.ecc.errors import AgentRefused, CodeRefused, GenerationStale, UnknownAgent
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import Conflict, InvalidValue
from midspan.security import SYSTEM
from midspan_link import protocol
from midspan_mid.identity import Identity

from .conftest import introduction

NUMBERS = itertools.count(1000)


def test_a_code_takes_one_agent_in_under_the_name_it_was_issued_for(
    enrolments: Enrolments, instance: Instance
) -> None:
    issued = enrolments.issue_code("north", SYSTEM)
    enrolled = enrolments.enrol(introduction(issued.code))
    assert enrolled.name == "north"
    found = enrolments.find(enrolled.mid_sys_id)
    assert (found.validated, found.generation) == (False, 0)
    with instance.records.read(SYSTEM) as transaction:
        (row,) = transaction.find("ecc_agent_enrolment", "name=north")
        assert issued.code not in "".join(row.values.values())
        linked = transaction.find("ecc_agent_capability_m2m", f"agent={enrolled.mid_sys_id}")
    assert len(linked) == 1
    assert issued.code not in repr(issued)


def test_wrong_expired_and_used_codes_look_the_same_outside_and_differ_in_the_log(
    enrolments: Enrolments, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    used = enrolments.issue_code("used", SYSTEM).code
    enrolments.enrol(introduction(used))
    late = enrolments.issue_code("late", SYSTEM).code
    clock.advance(CODE_LIFE)
    refusals = []
    for code in ("wrong", used, late):
        with pytest.raises(CodeRefused) as caught:
            enrolments.enrol(introduction(code))
        refusals.append(caught.value)
    assert len({refusal.explain() for refusal in refusals}) == 1
    assert [refusal.reason for refusal in refusals] == ["unknown", "used", "expired"]
    assert "for used was used before" in caplog.text
    assert "for late expired" in caplog.text
    assert used not in caplog.text


def test_a_code_lives_until_just_before_its_end(enrolments: Enrolments, clock: ManualClock) -> None:
    code = enrolments.issue_code("just", SYSTEM).code
    clock.advance(CODE_LIFE - timedelta(seconds=1))
    assert enrolments.enrol(introduction(code)).name == "just"


@pytest.mark.parametrize("name", ["", "  ", "a*", "x" * 81, "a\nb"])
def test_names_that_a_queue_cannot_address_get_no_code(enrolments: Enrolments, name: str) -> None:
    with pytest.raises(InvalidValue):
        enrolments.issue_code(name, SYSTEM)


def test_enrolling_again_replaces_the_key_and_asks_for_validation_again(
    enrolments: Enrolments, mid: MidServer
) -> None:
    again = enrolments.enrol(introduction(enrolments.issue_code(mid.name.upper(), SYSTEM).code))
    assert again.mid_sys_id == mid.sys_id
    fresh = enrolments.find(mid.sys_id)
    assert fresh.signing_key != mid.signing_key
    assert not fresh.validated


def test_a_key_of_one_agent_enrols_no_other(enrolments: Enrolments) -> None:
    identity = Identity.generate()
    first, second = (f"twin{next(NUMBERS)}" for _ in range(2))
    enrolments.enrol(introduction(enrolments.issue_code(first, SYSTEM).code, identity))
    code = enrolments.issue_code(second, SYSTEM).code
    with pytest.raises(CodeRefused) as caught:
        enrolments.enrol(introduction(code, identity))
    assert caught.value.reason == "key"
    again = enrolments.enrol(introduction(enrolments.issue_code(first, SYSTEM).code, identity))
    assert enrolments.find(again.mid_sys_id).signing_key == identity.signing_text


def test_validation_is_given_taken_and_a_withdrawn_key_is_unknown(
    enrolments: Enrolments, mid: MidServer
) -> None:
    enrolments.invalidate(mid.name, SYSTEM)
    assert not enrolments.find(mid.sys_id).validated
    enrolments.validate(mid.sys_id, SYSTEM)
    assert enrolments.find(mid.sys_id).validated
    enrolments.withdraw(mid.name, SYSTEM)
    with pytest.raises(AgentRefused) as caught:
        enrolments.find(mid.sys_id)
    assert caught.value.wire == protocol.CODE_UNKNOWN_MID
    with pytest.raises(Conflict, match="no valid key"):
        enrolments.validate(mid.name, SYSTEM)
    (agent,) = (row for row in enrolments.agents(SYSTEM) if row.sys_id == mid.sys_id)
    assert (agent.get("validated"), agent.get("status")) == ("no", "Down")
    with pytest.raises(UnknownAgent, match="nor"):
        enrolments.validate("nor", SYSTEM)


def test_an_older_generation_is_refused_and_counted_as_an_issue(
    enrolments: Enrolments, mid: MidServer, instance: Instance
) -> None:
    enrolments.check_generation(mid, 3)
    enrolments.check_generation(enrolments.find(mid.sys_id), 3)
    for _ in range(2):
        with pytest.raises(GenerationStale):
            enrolments.check_generation(enrolments.find(mid.sys_id), 2)
    with instance.records.read(SYSTEM) as transaction:
        (issue,) = transaction.find("ecc_agent_issue", f"mid_server={mid.sys_id}")
    assert (issue.get("count"), issue.get("state")) == ("2", "new")
    assert enrolments.find(mid.sys_id).generation == 3


def test_a_silent_agent_goes_down_and_a_heartbeat_brings_it_back(
    enrolments: Enrolments, mid: MidServer, clock: ManualClock
) -> None:
    clock.advance(timedelta(seconds=94))
    enrolments.note_silence()
    assert enrolments.find(mid.sys_id).status == "Up"
    clock.advance(timedelta(seconds=2))
    enrolments.note_silence()
    assert enrolments.find(mid.sys_id).status == "Down"
    message = protocol.Heartbeat("1", 0, 5, 0, 0, 10**6, 60, ["JDBC", f"Own {next(NUMBERS)}"])
    assert enrolments.heartbeat(mid, message) == "Up"
    (shown,) = [a for a in enrolments.agents(SYSTEM) if a.sys_id == mid.sys_id]
    assert (shown.get("status"), shown.get("jobs_free")) == ("Up", "5")
