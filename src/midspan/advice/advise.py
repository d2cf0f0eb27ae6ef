"""From facts about an integration to the mechanism that fits: a pure function over ``rules``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from midspan.advice.mechanism import CARDS, OPENS, Mechanism
from midspan.advice.rules import INFERENCES, LIMITS, RULES, Inference, Rejected, Rule, holds
from midspan.advice.vocabulary import FACTS, MANY_ROWS, Fact, checked

_RHYTHMS = {
    "event": ("continuous",),
    "schedule": ("hourly", "daily", "weekly", "monthly"),
    "once": ("once",),
    "request": ("continuous",),
}


class OpenQuestion(Struct, frozen=True):
    """A fact that was not given and would change the advice."""

    fact: str
    question: str
    assumed: str
    changes: Mapping[str, Mechanism]
    """The values that lead to another mechanism, with that mechanism."""


class Advice(Struct, frozen=True):
    """Which mechanism fits, and everything needed to judge and start it."""

    direction: str
    """``in``, ``out`` or ``both``."""
    mechanism: Mechanism
    title: str
    companion: Mechanism | None
    """With direction ``both``: what brings the other system's news in."""
    mid: bool
    """Whether a MID server is needed."""
    opens: str
    """One sentence: who opens the connection."""
    why: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    open_questions: tuple[OpenQuestion, ...]
    not_yet: tuple[str, ...]
    """What of this Midspan does not do yet, and what to do until then."""
    next_command: str
    """The command that writes a skeleton into a new folder."""
    rules: tuple[str, ...]
    """Names of the rules that decided, as in the reference table."""
    facts: Mapping[str, str]
    """The facts as given, in normal form and order."""
    assumed: Mapping[str, str]
    """The facts that were inferred or assumed."""


class _Part(Struct, frozen=True):
    """The decision for one direction."""

    mechanism: Mechanism
    rule: Rule
    facts: Mapping[str, str]
    inferred: tuple[Inference, ...]


def advise(facts: Mapping[str, str]) -> Advice:
    """Choose the mechanism for what is known; what is not known is assumed and asked for.

    >>> advice = advise({"direction": "in", "trigger": "once", "volume": "10000"})
    >>> advice.mechanism, advice.mid
    (<Mechanism.IMPORT_SET: 'import_set'>, False)
    >>> advice.next_command
    'midspan advise direction=in trigger=once volume=10000 --write import-set'

    Raises:
        InvalidRequest: an unknown fact or a value that its fact does not have.
    """
    given = checked(facts)
    parts = _parts(given)
    first = parts[0]
    companion = parts[1].mechanism if len(parts) == 2 else None
    chosen = [part.mechanism for part in parts]
    rejected = [each for part in parts for each in _rejected(part) if each.mechanism not in chosen]
    folder = first.mechanism.value.replace("_", "-")
    words = " ".join(f"{name}={value}" for name, value in given.items())
    return Advice(
        direction=given.get("direction", first.facts["direction"]),
        mechanism=first.mechanism,
        title=CARDS[first.mechanism].title,
        companion=companion,
        mid=any(CARDS[mechanism].opens == "mid" for mechanism in chosen),
        opens=" ".join(dict.fromkeys(OPENS[CARDS[mechanism].opens] for mechanism in chosen)),
        why=_unique(sentence for part in parts for sentence in _why(part, given)),
        rejected=tuple({each.mechanism: each for each in reversed(rejected)}.values())[::-1],
        open_questions=tuple(_open_questions(given, parts)),
        not_yet=_unique(text for part in parts for text in _not_yet(part)),
        next_command=f"midspan advise {words} --write {folder}".replace("  ", " "),
        rules=tuple(part.rule.name for part in parts),
        facts=given,
        assumed=_assumed(given, parts),
    )


def _parts(given: Mapping[str, str]) -> list[_Part]:
    """Decide once, or for each direction: out first, since that is what Midspan has to do."""
    if given.get("direction") != "both":
        return [_decide(given)]
    return [_decide({**given, "direction": direction}) for direction in ("out", "in")]


def _decide(given: Mapping[str, str]) -> _Part:
    facts, inferred = _completed(given)
    rule = next(rule for rule in RULES if holds(rule.when, facts))
    mechanism = rule.mechanism
    if facts["location"] == "behind_firewall":
        mechanism = _through_mid(rule, facts)
    return _Part(mechanism, rule, facts, inferred)


def _completed(given: Mapping[str, str]) -> tuple[dict[str, str], tuple[Inference, ...]]:
    """Fill in what follows from the given facts, then the defaults."""
    facts = dict(given)
    inferred: list[Inference] = []
    for inference in INFERENCES:
        if inference.fact not in facts and holds(inference.when, facts):
            facts[inference.fact] = inference.value
            inferred.append(inference)
    for name, fact in FACTS.items():
        facts.setdefault(name, fact.default)
    facts["rows"] = "many" if int(facts["volume"]) >= MANY_ROWS else "few"
    return facts, tuple(inferred)


def _through_mid(rule: Rule, facts: Mapping[str, str]) -> Mechanism:
    """Return the form that goes through a MID server, where Midspan would have to reach in."""
    if rule.mechanism is Mechanism.IMPORT_SET and facts["protocol"] == "jdbc":
        return Mechanism.IMPORT_SET_THROUGH_MID
    return CARDS[rule.mechanism].through_mid or rule.mechanism


def _why(part: _Part, given: Mapping[str, str]) -> Iterator[str]:
    yield part.rule.why
    card = CARDS[part.mechanism]
    if card.opens == "mid":
        yield "The other system is behind a firewall, so a MID server in its network dials out."
    elif part.facts["location"] == "behind_firewall":
        yield "No MID server is needed: the connection is opened from inside the private network."
    else:
        yield "No MID server is needed: the connection can be made directly."
    for inference in part.inferred:
        yield f"Taken from the other facts: {inference.fact}={inference.value}. {inference.because}"
    rhythm = given.get("frequency")
    if rhythm and rhythm not in _RHYTHMS[part.facts["trigger"]]:
        yield f"frequency={rhythm} is not used: trigger={part.facts['trigger']} decides."


def _rejected(part: _Part) -> Iterator[Rejected]:
    yield from part.rule.rejected
    direct = part.rule.mechanism
    if part.mechanism is not direct:
        yield Rejected(direct, "Midspan cannot reach a system behind the firewall by itself")
    elif CARDS[direct].through_mid is not None:
        yield Rejected(
            CARDS[direct].through_mid or direct,
            "a MID server is one more thing to run, and the system can be reached directly",
        )


def _not_yet(part: _Part) -> Iterator[str]:
    for limit in LIMITS:
        if part.mechanism in limit.mechanisms and holds(limit.when, part.facts):
            yield limit.text


def _open_questions(given: Mapping[str, str], parts: list[_Part]) -> Iterator[OpenQuestion]:
    """Try every answer to every question that was not answered; ask where one would matter."""
    settled = {each.fact for part in parts for each in part.inferred if each.firm} | set(given)
    asked: set[str] = set()
    for name, fact in FACTS.items():
        changes = {} if name in settled else _changes(given, fact, parts)
        if changes and fact.stands_for not in asked:
            asked.add(name)
            yield OpenQuestion(name, fact.question, parts[0].facts[name], changes)


def _changes(given: Mapping[str, str], fact: Fact, parts: list[_Part]) -> dict[str, Mechanism]:
    """Return the values of a fact that would lead elsewhere, with the mechanism they lead to."""
    chosen = [part.mechanism for part in parts]
    changes: dict[str, Mechanism] = {}
    for value in fact.samples or fact.values:
        others = [part.mechanism for part in _parts({**given, fact.name: value})]
        different = [mechanism for mechanism in others if mechanism not in chosen]
        if different:
            changes[value] = different[0]
    return changes


def _assumed(given: Mapping[str, str], parts: list[_Part]) -> dict[str, str]:
    facts = parts[0].facts
    return {name: facts[name] for name in FACTS if name not in given and facts[name]}


def _unique(sentences: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentences))
