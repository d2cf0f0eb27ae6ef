"""The advice as a page: tables made from the same data that ``advise`` reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from midspan.advice.mechanism import CARDS, OPENS
from midspan.advice.rules import INFERENCES, LIMITS, RULES, Conditions, Rejected
from midspan.advice.vocabulary import FACTS, MANY_ROWS, Fact


def reference() -> str:
    """Return Markdown with the facts, rules, inferences, mechanisms and limits, in that order.

    It ends with a newline and is the same for the same release; ``docs/explanation/advice.md``
    holds it between two markers.
    """
    sections = (
        (
            "The facts",
            _table(("Fact", "Question", "Values", "Assumed"), map(_fact, FACTS.values())),
        ),
        ("The rules, read from the top", _rules()),
        ("What is taken from other facts", _inferences()),
        ("The mechanisms", _mechanisms()),
        ("What is not there yet", _limits()),
    )
    return "\n".join(f"### {title}\n\n{body}" for title, body in sections)


def _fact(fact: Fact) -> tuple[str, ...]:
    values = "; ".join(f"`{value}` {meaning}" for value, meaning in fact.values.items())
    return (f"`{fact.name}`", fact.question, values or f"a {fact.form}", _code(fact.default))


def _rules() -> str:
    rows = (
        (
            f"`{rule.name}`",
            _conditions(rule.when),
            f"`{rule.mechanism}`",
            rule.why,
            _rejections(rule.rejected),
        )
        for rule in RULES
    )
    note = f"`rows` is `many` from {MANY_ROWS:,} rows a time (`volume`), else `few`.\n"
    return _table(("Rule", "When", "Advice", "Why", "Rather than"), rows) + "\n" + note


def _inferences() -> str:
    rows = (
        (
            _conditions(each.when),
            f"`{each.fact}={each.value}`",
            each.because,
            "no" if each.firm else "yes",
        )
        for each in INFERENCES
    )
    return _table(("When", "Then", "Because", "Still asked"), rows)


def _mechanisms() -> str:
    rows = (
        (
            f"`{mechanism}`",
            card.title,
            OPENS[card.opens],
            "yes" if card.opens == "mid" else "no",
        )
        for mechanism, card in CARDS.items()
    )
    return _table(("Mechanism", "What it is", "Who opens the connection", "MID server"), rows)


def _limits() -> str:
    rows = (
        (
            ", ".join(f"`{mechanism}`" for mechanism in limit.mechanisms),
            _conditions(limit.when) or "always",
            limit.text,
        )
        for limit in LIMITS
    )
    return _table(("Mechanism", "When", "Not yet, and what to do until then"), rows)


def _conditions(conditions: Conditions) -> str:
    return ", ".join(f"`{name}={'|'.join(values)}`" for name, values in conditions.items())


def _rejections(rejected: Sequence[Rejected]) -> str:
    return "; ".join(f"`{each.mechanism}`: {each.because}" for each in rejected)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )
