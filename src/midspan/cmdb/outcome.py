"""What became of the items and relations of a payload, before anybody words it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field

from midspan.cmdb.payload import Item, Place, Relation
from midspan.kernel.errors import InvalidRequest, MidspanError

UNKNOWN = "Unknown"


class Operation(StrEnum):
    """What is done about an item, a row of a side table or a relation."""

    INSERT = "INSERT"
    UPDATE = "UPDATE"
    UPGRADE = "UPDATE_WITH_UPGRADE"
    DOWNGRADE = "UPDATE_WITH_DOWNGRADE"
    SWITCH = "UPDATE_WITH_SWITCH"
    NO_CHANGE = "NO_CHANGE"
    PARTIAL = "INSERT_AS_PARTIAL"
    INCOMPLETE = "INSERT_AS_INCOMPLETE"


class Result(StrEnum):
    """What one attempt to identify an item came to."""

    MATCHED = "MATCHED"
    NO_MATCH = "NO_MATCH"
    MULTI_MATCH = "MULTI_MATCH"
    SKIPPED = "SKIPPED"


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt to identify an item."""

    rule: str
    result: Result
    attributes: tuple[str, ...] = ()
    table: str = ""
    own: tuple[str, ...] = ()
    info: str = ""


class Problem(Struct, frozen=True):
    """An error or warning: its code and words."""

    code: str
    message: str


class Refusal(InvalidRequest):
    """An item cannot be taken; carries the problem that its answer shows."""

    code = "MS150"

    def __init__(self, problem: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problem = Problem(problem, f"{message}. {hint}" if hint else message)


class Note(Struct, frozen=True):
    """Why a part of an update was left out."""

    code: str
    message: str
    rule: str = ""


class Duplicates(Struct, frozen=True, kw_only=True):
    """Stored items that cannot be told apart; the first one is the oldest."""

    sys_ids: tuple[str, ...]
    rule: str
    entry: str
    resolved: bool
    """The oldest stands for all; the others are marked as duplicates of it."""


class SubOutcome(Struct, kw_only=True):
    """What became of a row of a side table."""

    place: Place
    cls: str
    operation: Operation = Operation.NO_CHANGE
    sys_id: str = ""
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


class ItemOutcome(Struct, kw_only=True):
    """What became of an item."""

    item: Item
    cls: str
    operation: Operation = Operation.NO_CHANGE
    sys_id: str = ""
    entry: str = ""
    attempts: tuple[Attempt, ...] = ()
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    subs: list[SubOutcome] = field(default_factory=list)
    stored_as: list[str] = field(default_factory=list)
    """Payloads that keep what could not be taken yet."""
    cause: MidspanError | None = None
    """What refused the write, where that is the error."""

    @property
    def failed(self) -> bool:
        """Whether nothing is done about it."""
        return bool(self.errors)


class RelationOutcome(Struct, kw_only=True):
    """What became of a relation."""

    relation: Relation
    operation: Operation = Operation.NO_CHANGE
    sys_id: str = ""
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


class Outcome(Struct, kw_only=True):
    """What became of a payload."""

    items: list[ItemOutcome] = field(default_factory=list)
    relations: list[RelationOutcome] = field(default_factory=list)
    committed: bool = False
    enhanced: bool = False
    summary: bool = False

    @property
    def failed(self) -> bool:
        """Whether some item or relation has an error."""
        return any(i.errors for i in self.items) or any(r.errors for r in self.relations)

    @property
    def doubtful(self) -> bool:
        """Whether some item or relation has a warning."""
        return any(i.warnings for i in self.items) or any(r.warnings for r in self.relations)
