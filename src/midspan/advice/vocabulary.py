"""The facts that ``midspan advise`` understands: a closed vocabulary, each with its question."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from midspan.kernel.errors import InvalidRequest, did_you_mean

MANY_ROWS = 1000
"""From this many rows a run it pays to load in bulk instead of one request per record."""

_NUMBER = re.compile(r"[0-9]{1,15}")
_WORD = re.compile(r"[a-z0-9][a-z0-9_.]{0,39}")


class Fact(Struct, frozen=True):
    """One thing worth knowing before choosing a mechanism."""

    name: str
    question: str
    values: Mapping[str, str]
    """Each allowed value with what it means; empty when ``form`` says what is allowed."""
    default: str
    """What is assumed when neither the caller nor an inference says anything; may be empty."""
    form: str = ""
    """``number`` or ``word`` for facts without a list of values."""
    samples: tuple[str, ...] = ()
    """Values that stand for all others when trying what an answer would change."""
    stands_for: str = ""
    """Another fact that says the same more directly; only that one is asked."""


FACTS: Mapping[str, Fact] = {
    fact.name: fact
    for fact in (
        Fact(
            "direction",
            "Does the other system tell or feed Midspan, or does Midspan tell it?",
            {
                "in": "the other system calls or feeds Midspan",
                "out": "Midspan calls or informs the other system",
                "both": "each tells the other",
            },
            "in",
        ),
        Fact(
            "trigger",
            "What starts it?",
            {
                "event": "something happens and has to be acted on at once",
                "schedule": "the clock",
                "once": "a person, one time",
                "request": "somebody asks and waits for the answer",
            },
            "event",
        ),
        Fact(
            "need",
            "Is a copy of data needed, or something to be done?",
            {"copy": "records kept equal to theirs", "action": "something happens as a result"},
            "action",
        ),
        Fact(
            "source",
            "What is at the other end?",
            {
                "database": "tables that are read with SQL",
                "file": "files that somebody or something writes",
                "api": "an application with an interface of its own",
                "webhook": "a sender with a fixed body that only takes a URL",
                "chat": "people in a chat tool",
            },
            "api",
        ),
        Fact(
            "protocol",
            "What does the other system speak?",
            {
                "rest": "HTTP with JSON or XML",
                "soap": "SOAP and nothing else",
                "jdbc": "SQL over a database driver",
                "file": "it writes or reads files",
            },
            "rest",
        ),
        Fact(
            "location",
            "Can Midspan open a connection to it?",
            {
                "internet": "yes, its address is reachable",
                "behind_firewall": "no, it is in a private network that only dials out",
            },
            "internet",
        ),
        Fact(
            "volume",
            "How many rows or records a time?",
            {},
            "100",
            form="number",
            samples=("100", "100000"),
        ),
        Fact(
            "frequency",
            "How often?",
            {
                "once": "a single time",
                "continuous": "whenever it happens",
                "hourly": "every hour",
                "daily": "every day",
                "weekly": "every week",
                "monthly": "every month",
            },
            "",
            stands_for="trigger",
        ),
        Fact(
            "format",
            "Which form does the data have?",
            {
                "table": "the sender can build what the Table API takes",
                "own": "the sender's own form, which it will not change",
                "json": "JSON, which the sender can shape",
                "xml": "XML, which the sender can shape",
                "csv": "CSV files",
                "excel": "Excel files",
            },
            "table",
        ),
        Fact(
            "partner",
            "Which product is it?",
            {},
            "",
            form="word",
            samples=("slack", "alertmanager"),
            stands_for="source",
        ),
    )
}


def parse_facts(words: Iterable[str]) -> dict[str, str]:
    """Read ``KEY=VALUE`` words as a command line has them.

    >>> parse_facts(["direction=in", "volume=10_000"])
    {'direction': 'in', 'volume': '10000'}

    Raises:
        InvalidRequest: a word without ``=``, a fact given twice, or what ``checked`` refuses.
    """
    facts: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidRequest(
                f"{word!r} is not a fact",
                hint=f"Write KEY=VALUE; the keys are {', '.join(FACTS)}.",
            )
        if key in facts:
            raise InvalidRequest(f"The fact {key!r} is given twice")
        facts[key] = value
    return checked(facts)


def checked(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the facts in vocabulary order, values in their normal form.

    >>> checked({"location": "Behind-Firewall"})
    {'location': 'behind_firewall'}
    >>> checked({"direktion": "in"})
    Traceback (most recent call last):
    ...
    midspan.kernel.errors.InvalidRequest: There is no fact 'direktion'

    Raises:
        InvalidRequest: an unknown fact or value; the hint has the nearest or all allowed ones.
    """
    for name in facts:
        if name not in FACTS:
            raise InvalidRequest(
                f"There is no fact {name!r}",
                hint=did_you_mean(name, FACTS) or f"The facts are {', '.join(FACTS)}.",
            )
    return {name: _value(fact, facts[name]) for name, fact in FACTS.items() if name in facts}


def _value(fact: Fact, given: str) -> str:
    value = given.strip().lower().replace("-", "_")
    if fact.form == "number":
        number = re.sub(r"[_,' ]", "", given)
        if not _NUMBER.fullmatch(number) or not number.isascii():
            raise InvalidRequest(
                f"{given!r} is not a {fact.name}", hint="Give a whole number, such as 10000."
            )
        return str(int(number))
    if fact.form == "word":
        if not _WORD.fullmatch(value):
            raise InvalidRequest(
                f"{given!r} is not a {fact.name}", hint="Give one word, such as slack."
            )
        return value
    if value not in fact.values:
        near = did_you_mean(value, fact.values)
        allowed = f"Allowed are {', '.join(fact.values)}."
        raise InvalidRequest(
            f"{given!r} is not a {fact.name}", hint=f"{near} {allowed}" if near else allowed
        )
    return value
