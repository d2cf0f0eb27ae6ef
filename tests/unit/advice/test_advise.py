"""The advisor: the seed cases, every rule and mechanism, and what holds for all facts."""

from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midspan.advice import CARDS, FACTS, INFERENCES, LIMITS, RULES, Mechanism, advise, parse_facts
from midspan.kernel.errors import InvalidRequest

M = Mechanism

VALUES = {
    name: sorted(fact.values)
    or (["0", "999", "1000", "5000000"] if fact.form == "number" else ["slack", "acme", "9.x"])
    for name, fact in FACTS.items()
}
ANY_FACTS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in VALUES.items()}
)

SEEDS = [
    # bulk load once
    ("direction=in trigger=once source=file volume=10000", M.IMPORT_SET, False),
    ("format=csv trigger=once", M.IMPORT_SET, False),
    # periodic refresh from a database or file behind the firewall
    ("source=database trigger=schedule location=behind_firewall",
     M.SCHEDULED_IMPORT_THROUGH_MID, True),
    ("source=file frequency=daily location=behind_firewall", M.SCHEDULED_IMPORT_THROUGH_MID, True),
    ("source=database frequency=daily", M.SCHEDULED_IMPORT_THROUGH_MID, True),
    # act at the moment something happens
    ("direction=out trigger=event need=action", M.FLOW_WITH_SPOKE, False),
    ("direction=in trigger=event need=action", M.INBOUND_TABLE_API, False),
    # an external system creates records
    ("direction=in trigger=event source=api format=table", M.INBOUND_TABLE_API, False),
    ("direction=in trigger=event source=api format=own", M.SCRIPTED_REST, False),
    ("partner=alertmanager", M.SCRIPTED_REST, False),
    # approved change to chat
    ("direction=out trigger=event source=chat partner=slack", M.FLOW_WITH_SPOKE, False),
    ("partner=slack", M.FLOW_WITH_SPOKE, False),
    # a partner that speaks only SOAP
    ("direction=in protocol=soap", M.SOAP_INBOUND, False),
    ("direction=out protocol=soap", M.SOAP_OUTBOUND, False),
    ("direction=out protocol=soap location=behind_firewall", M.SOAP_OUTBOUND_THROUGH_MID, True),
    # the rest of the table
    ("direction=in protocol=soap trigger=schedule", M.SOAP_OUTBOUND, False),
    ("source=database trigger=once", M.IMPORT_SET_THROUGH_MID, True),
    ("source=database trigger=schedule location=internet", M.SCHEDULED_IMPORT, False),
    ("source=file direction=in trigger=event", M.IMPORT_SET, False),
    ("source=database direction=in trigger=event", M.SCHEDULED_IMPORT_THROUGH_MID, True),
    ("direction=in trigger=event need=copy volume=50000", M.IMPORT_SET, False),
    ("direction=in trigger=event need=copy volume=999", M.INBOUND_TABLE_API, False),
    ("direction=in trigger=request", M.INBOUND_TABLE_API, False),
    ("direction=in location=behind_firewall", M.INBOUND_TABLE_API, False),
    ("direction=out source=database", M.INBOUND_TABLE_API, False),
    ("direction=out trigger=request", M.OUTBOUND_REST_MESSAGE, False),
    ("direction=out trigger=request location=behind_firewall",
     M.OUTBOUND_REST_MESSAGE_THROUGH_MID, True),
    ("direction=out trigger=schedule need=copy volume=50000", M.INBOUND_TABLE_API, False),
    ("direction=out trigger=schedule", M.FLOW_WITH_SPOKE, False),
    ("direction=out location=behind_firewall", M.FLOW_WITH_SPOKE_THROUGH_MID, True),
]  # fmt: skip


@pytest.mark.parametrize(("words", "mechanism", "mid"), SEEDS, ids=[seed[0] for seed in SEEDS])
def test_the_case_gets_its_mechanism(words: str, mechanism: Mechanism, mid: bool) -> None:
    advice = advise(parse_facts(words.split()))
    assert (advice.mechanism, advice.mid) == (mechanism, mid)
    assert advice.next_command.startswith("midspan advise ")
    assert advice.next_command.endswith(f" --write {mechanism.value.replace('_', '-')}")


def test_the_cases_reach_every_mechanism_and_every_rule() -> None:
    answers = [advise(parse_facts(words.split())) for words, _, _ in SEEDS]
    assert {answer.mechanism for answer in answers} == set(Mechanism)
    assert {name for answer in answers for name in answer.rules} == {rule.name for rule in RULES}


def test_every_limit_and_inference_is_met_by_some_facts() -> None:
    names = ("direction", "trigger", "source", "protocol", "location", "format")
    texts, sentences = set(), set()
    for values in product(*[[None, *VALUES[name]] for name in names]):
        advice = advise({name: value for name, value in zip(names, values, strict=True) if value})
        texts |= set(advice.not_yet)
        sentences |= set(advice.why)
    for words in ("partner=slack", "partner=alertmanager", "frequency=once", "need=action",
                  "frequency=daily", "frequency=continuous", "need=copy"):  # fmt: skip
        sentences |= set(advise(parse_facts([words])).why)
    assert texts == {limit.text for limit in LIMITS}
    assert all(any(each.because in line for line in sentences) for each in INFERENCES)


@settings(max_examples=400, deadline=None)
@given(ANY_FACTS)
def test_any_facts_get_a_whole_answer(facts: dict[str, str]) -> None:
    advice = advise(facts)
    assert advice.direction in ("in", "out", "both")
    assert advice.title
    assert advice.opens
    assert advice.why
    assert len(advice.rejected) >= 1
    assert all(each.because for each in advice.rejected)
    named = [each.mechanism for each in advice.rejected]
    assert len(set(named)) == len(named)
    assert advice.mechanism not in named
    assert advice.companion is None or advice.companion not in named
    assert advice.mid == (
        "mid" in {CARDS[m].opens for m in (advice.mechanism, advice.companion) if m}
    )
    assert list(advice.facts) == [name for name in FACTS if name in facts]
    assert not set(advice.facts) & set(advice.assumed)


@settings(max_examples=100, deadline=None)
@given(ANY_FACTS, st.randoms())
def test_the_answer_depends_on_the_facts_alone(facts: dict[str, str], random: Random) -> None:
    words = [f"{name}={value}" for name, value in facts.items()]
    random.shuffle(words)
    assert advise(parse_facts(words)) == advise(facts)


@settings(max_examples=200, deadline=None)
@given(ANY_FACTS)
def test_an_open_question_is_one_whose_answer_changes_the_advice(facts: dict[str, str]) -> None:
    advice = advise(facts)
    for question in advice.open_questions:
        assert question.fact not in facts
        for value, mechanism in question.changes.items():
            other = advise({**facts, question.fact: value})
            assert mechanism in (other.mechanism, other.companion)
            assert mechanism not in (advice.mechanism, advice.companion)


@settings(max_examples=100, deadline=None)
@given(ANY_FACTS)
def test_the_next_command_leads_to_the_same_advice(facts: dict[str, str]) -> None:
    advice = advise(facts)
    words = advice.next_command.split()
    assert words[:2] == ["midspan", "advise"]
    assert words[-2] == "--write"
    assert advise(parse_facts(words[2:-2])) == advice


def test_nothing_known_still_gets_an_answer_and_the_questions_that_decide() -> None:
    advice = advise({})
    assert advice.mechanism is M.INBOUND_TABLE_API
    assert [question.fact for question in advice.open_questions][:2] == ["direction", "trigger"]
    assert advice.open_questions[0].changes["out"] is M.FLOW_WITH_SPOKE
    assert advice.next_command == "midspan advise --write inbound-table-api"


def test_everything_known_leaves_no_question() -> None:
    words = "direction=in trigger=event need=action source=api protocol=rest location=internet"
    advice = advise(parse_facts([*words.split(), "volume=1", "frequency=continuous", "format=own",
                                 "partner=acme"]))  # fmt: skip
    assert advice.open_questions == ()
    assert advice.assumed == {}


def test_both_directions_get_a_mechanism_each() -> None:
    advice = advise({"direction": "both", "trigger": "event"})
    assert (advice.mechanism, advice.companion) == (M.FLOW_WITH_SPOKE, M.INBOUND_TABLE_API)
    assert "Midspan opens" in advice.opens
    assert "other system opens" in advice.opens


def test_a_direct_connection_is_preferred_to_a_mid_server_and_says_so() -> None:
    direct = advise(parse_facts(["source=database", "trigger=schedule", "location=internet"]))
    through = advise(parse_facts(["source=database", "trigger=schedule"]))
    assert M.SCHEDULED_IMPORT_THROUGH_MID in [each.mechanism for each in direct.rejected]
    assert M.SCHEDULED_IMPORT in [each.mechanism for each in through.rejected]
    assert any("location=behind_firewall" in sentence for sentence in through.why)
    assert "location" in [question.fact for question in through.open_questions]


def test_contradicting_facts_are_pointed_out() -> None:
    advice = advise({"trigger": "once", "frequency": "daily", "direction": "in"})
    assert "frequency=daily is not used: trigger=once decides." in advice.why


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["direktion=in"], "no fact 'direktion'", "Did you mean 'direction'?"),
        (["colour=red"], "no fact 'colour'", "The facts are direction, trigger"),
        (["direction=inn"], "'inn' is not a direction", "Did you mean 'in'? Allowed are in, out"),
        (["direction="], "'' is not a direction", "Allowed are in, out, both."),
        (["trigger"], "'trigger' is not a fact", "Write KEY=VALUE"),
        (["trigger=once", "trigger=event"], "given twice", ""),
        (["volume=lots"], "'lots' is not a volume", "whole number"),
        (["volume=-1"], "'-1' is not a volume", "whole number"),
        (["volume=" + "9" * 40], "is not a volume", "whole number"),
        (["partner=a b; rm -rf"], "is not a partner", "one word"),
    ],
)
def test_what_is_not_understood_is_refused_with_help(
    words: list[str], message: str, hint: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_facts(words)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_values_are_read_generously() -> None:
    facts = parse_facts(["location=Behind-Firewall", "volume=10,000", "partner=Slack"])
    assert facts == {"location": "behind_firewall", "volume": "10000", "partner": "slack"}


def test_rules_speak_only_of_known_facts_and_values() -> None:
    known = {name: set(fact.values) for name, fact in FACTS.items()} | {"rows": {"many", "few"}}
    for conditions in (each.when for group in (RULES, INFERENCES, LIMITS) for each in group):
        for name, values in conditions.items():
            assert name in known
            assert FACTS[name].form == "word" if name == "partner" else set(values) <= known[name]
    assert all(each.value in known[each.fact] for each in INFERENCES)


def test_rules_have_their_own_names_and_two_rejections() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert len(rule.rejected) == 2
        assert rule.mechanism not in [each.mechanism for each in rule.rejected]
        assert rule.why.endswith(".")
    assert set(CARDS) == set(Mechanism)
