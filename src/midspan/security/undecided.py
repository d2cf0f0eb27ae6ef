"""Rows whose access depends on a script: a condition that stands for it until the script has run.

An ``Undecided`` test is neither ``ALWAYS`` nor ``NEVER`` and no row meets it. Whoever does not know
of scripts therefore refuses: a walk into the table, a row, the choice of an id. Whoever reads rows
lets a ``Judge`` run the script for the rows in question and puts the ids that passed in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from midspan.query import ALWAYS, NEVER, And, Condition, Operator, Or, Test, both
from midspan.security.accessrule import AccessRule

NO_ROW = "no row: the script of an access rule has not run"
"""Longer than any sys_id can be, so that no row has it."""


class Undecided(Test, frozen=True, kw_only=True, tag="undecided"):
    """Rows of one class that a scripted rule grants if its condition holds and its script passes.

    As a test it compares the sys_id with ``NO_ROW``.
    """

    rule: AccessRule
    table: str
    declared: Condition = ALWAYS
    """The condition of the rule."""


class Judge(Protocol):
    """Runs the scripts of access rules for somebody."""

    def passes(self, rule: AccessRule) -> bool | None:
        """Tell whether the script passes without a record; None where it does not get through."""
        ...

    def passing(self, asked: Undecided, table: str, within: Condition) -> tuple[str, ...]:
        """Return the ids of the rows of ``asked.table`` that meet ``within`` and pass.

        ``within`` is about rows of ``table``, of which the class is a part.

        Raises:
            InvalidQuery: too many rows would have to be checked.
            ScriptError: the script went over a limit.
        """
        ...

    def passes_new(self, asked: Undecided, values: Mapping[str, str]) -> bool:
        """Tell whether a record with these values, which is not stored yet, passes."""
        ...


def undecided(condition: Condition) -> Iterator[Undecided]:
    """Yield what scripts have to decide about the rows themselves."""
    match condition:
        case Undecided() if len(condition.path.steps) == 1:
            yield condition
        case And() | Or():
            for part in condition.parts:
                yield from undecided(part)


def settle(condition: Condition, judge: Judge, table: str, within: Condition) -> Condition:
    """Return the condition with scripts decided for the rows of ``table`` that meet ``within``."""
    match condition:
        case Undecided() if len(condition.path.steps) == 1:
            ids = judge.passing(condition, table, both(within, condition.declared))
            own = Test(condition.path, Operator.IN, ids)
            return both(own, condition.declared) if ids else NEVER
        case And():
            if NEVER in (parts := _settled(condition, judge, table, within)):
                return NEVER
            return And(parts)
        case Or():
            parts = _settled(condition, judge, table, within)
            return Or(tuple(part for part in parts if part != NEVER))
        case _:
            return condition


def _settled(
    condition: And | Or, judge: Judge, table: str, within: Condition
) -> tuple[Condition, ...]:
    return tuple(settle(part, judge, table, within) for part in condition.parts)


def settle_new(condition: Condition, judge: Judge, values: Mapping[str, str]) -> Condition:
    """Return the condition with scripts decided for a record that is not stored yet."""
    match condition:
        case Undecided() if len(condition.path.steps) == 1:
            passes = judge.passes_new(condition, values)
            return condition.declared if passes else NEVER
        case And() | Or():
            parts = (settle_new(part, judge, values) for part in condition.parts)
            return type(condition)(tuple(parts))
        case _:
            return condition
