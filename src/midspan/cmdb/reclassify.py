"""Whether a known item changes its class, and in which direction. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from midspan.cmdb.payload import Settings
from midspan.cmdb.rule import Restriction, RuleBook
from midspan.dictionary import Dictionary


class Direction(StrEnum):
    """How two classes of one item lie to each other."""

    NONE = ""
    UPGRADE = "upgrade"
    """To a descendant: more is known of it."""
    DOWNGRADE = "downgrade"
    """To an ancestor."""
    SWITCH = "switch"
    """To another branch."""


_ENABLED = {
    Direction.UPGRADE: "glide.class.upgrade.enabled",
    Direction.DOWNGRADE: "glide.class.downgrade.enabled",
    Direction.SWITCH: "glide.class.switch.enabled",
}
_WITHOUT = {
    Direction.UPGRADE: "glide.identification_engine.update_without_upgrade_enabled",
    Direction.DOWNGRADE: "glide.identification_engine.update_without_downgrade_enabled",
    Direction.SWITCH: "glide.identification_engine.update_without_switch_enabled",
}


class Move(Struct, frozen=True, kw_only=True):
    """What becomes of the class of a known item."""

    cls: str
    """The class that it has afterwards."""
    direction: Direction = Direction.NONE
    """How it moves; NONE where it stays."""
    skipped: Direction = Direction.NONE
    """The move that was left out while the rest is done."""
    refused: Direction = Direction.NONE
    """The move that is not allowed, so that nothing is done."""
    restriction: str = ""
    """sys_id of the rule that a skipped move is due to."""


def direction_of(dictionary: Dictionary, now: str, wanted: str) -> Direction:
    """Return how the class ``wanted`` lies to the class ``now``."""
    if now == wanted:
        return Direction.NONE
    if dictionary.is_a(wanted, now):
        return Direction.UPGRADE
    return Direction.DOWNGRADE if dictionary.is_a(now, wanted) else Direction.SWITCH


def decide_class(
    now: str,
    wanted: str,
    settings: Settings,
    dictionary: Dictionary,
    book: RuleBook,
    properties: Mapping[str, str],
) -> Move:
    """Decide about the class of an item that is ``now`` and reported as ``wanted``.

    What the payload and the properties say about leaving the move out counts first, then the
    restrictions, then whether moves of this direction are allowed at all.
    """
    direction = direction_of(dictionary, now, wanted)
    if direction is Direction.NONE:
        return Move(cls=now)
    if _without(direction, settings, properties):
        return Move(cls=now, skipped=direction)
    restriction = _restriction(direction, now, wanted, settings, dictionary, book, properties)
    if restriction is not None:
        return Move(cls=now, skipped=direction, restriction=restriction.sys_id)
    if not _allowed(direction, settings, properties):
        return Move(cls=now, refused=direction)
    return Move(cls=wanted, direction=direction)


def _without(direction: Direction, settings: Settings, properties: Mapping[str, str]) -> bool:
    given: bool = getattr(settings, f"without_{direction}")
    return given or properties.get(_WITHOUT[direction]) == "true"


def _allowed(direction: Direction, settings: Settings, properties: Mapping[str, str]) -> bool:
    given: bool | None = getattr(settings, direction)
    if given is not None:
        return given
    return properties.get(_ENABLED[direction]) != "false"


def _restriction(  # noqa: PLR0913 - the same arguments as decide_class
    direction: Direction,
    now: str,
    wanted: str,
    settings: Settings,
    dictionary: Dictionary,
    book: RuleBook,
    properties: Mapping[str, str],
) -> Restriction | None:
    enabled = "glide.identification_engine.reclassification_restriction_rules_enabled"
    if settings.unrestricted or properties.get(enabled) == "false":
        return None

    def holds(rule: Restriction) -> bool:
        return (
            rule.kind == direction
            and _covers(dictionary, rule.source, now, below=rule.source_below)
            and _covers(dictionary, rule.target, wanted, below=rule.target_below)
        )

    return next(filter(holds, book.restrictions), None)


def _covers(dictionary: Dictionary, named: str, cls: str, *, below: bool) -> bool:
    return named == cls or (below and dictionary.is_a(cls, named))
