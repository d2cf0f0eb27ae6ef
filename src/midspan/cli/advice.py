"""``midspan advise``: which integration mechanism fits; needs no instance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midspan.cli.options import AsJson
from midspan.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from midspan.advice import Advice


def advise(
    facts: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="What is known.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a skeleton into this new folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which mechanism fits an integration, why, and how to start it."""
    import msgspec

    from midspan import advice as advisor
    from midspan.cli.files import write_files
    from midspan.cli.output import say, show_json

    if not facts and not as_json:
        _vocabulary()
        return
    found = advisor.advise(advisor.parse_facts(facts or []))
    if write is not None:
        if write.exists() and any(write.iterdir()):
            raise InvalidRequest(f"{write} is not empty", hint="Name a new folder.")
        write_files(write, dict(advisor.skeleton(found)))
    if as_json:
        show_json(msgspec.to_builtins(found))
        return
    _show(found)
    if write is not None:
        say(f"\nWrote a skeleton to {write}. Make it live with: midspan apply {write}")


def _show(advice: Advice) -> None:
    from midspan.cli.output import say

    say(f"{advice.title}")
    say(f"  direction: {advice.direction}   MID server: {'yes' if advice.mid else 'no'}")
    say(f"  {advice.opens}")
    if advice.companion:
        say(f"  News of the other system come in by: {advice.companion.value}")
    sections = {
        "Why": advice.why,
        "Considered and not taken": [f"{r.mechanism.value}: {r.because}" for r in advice.rejected],
        "Open questions": [
            f"{q.question} (assumed {q.fact}={q.assumed})" for q in advice.open_questions
        ],
        "Not in Midspan yet": advice.not_yet,
    }
    for title, lines in sections.items():
        if lines:
            say(f"\n{title}:")
            for line in lines:
                say(f"  - {line}")
    say(f"\nNext: {advice.next_command}")


def _vocabulary() -> None:
    from midspan.advice import FACTS
    from midspan.cli.output import say, show_table

    rows = [
        {
            "key": name,
            "question": fact.question,
            "values": ", ".join(fact.values) or f"a {fact.form}",
        }
        for name, fact in FACTS.items()
    ]
    show_table(rows, ("key", "question", "values"))
    say("Say what you know: midspan advise direction=in trigger=once volume=10000")
