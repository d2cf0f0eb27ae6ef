"""Built-in behaviour that a rule file cannot say: look-ups, joined names, counting, a policy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

from midspan.dictionary import Dictionary
from midspan.dictionary.values import datetime_text
from midspan.kernel.errors import InvalidValue
from midspan.records import PROPERTIES, Draft, Operation, RecordTransaction, SnapshotPart
from midspan.storage import Statements, Transaction

REQUIRE_CLOSE_CODE = "midspan.incident.require_close_code"
"""System property: refuse to resolve or close an incident without close code and notes."""


SHORTEST_KEY = 24
"""Characters of the token of an API key."""


class Computed(Protocol):
    """Built-in code for one table and its children; it looks at nothing but its own draft.

    It runs before the rules of order below 1000, so that they see its results, and once more
    after them when they changed one of its ``inputs``; running twice does what running once does.
    """

    @property
    def table(self) -> str:
        """The table, with its children."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The fields whose change by a rule makes another run necessary."""
        ...

    @property
    def operations(self) -> frozenset[Operation]:
        """The operations it belongs to."""
        ...

    def compute(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Alter or refuse the draft."""
        ...


_STORED = frozenset({Operation.INSERT, Operation.UPDATE})


def load_priorities(transaction: Transaction, _: Dictionary) -> Mapping[tuple[str, str], str]:
    """Read the active rows of ``dl_u_priority``: impact and urgency to priority."""
    sql = Statements("midspan.rules", "rules", transaction.dialect)
    active = (transaction.dialect.name != "sqlite" or 1,)
    found: dict[tuple[str, str], str] = {}
    for impact, urgency, priority in transaction.rows(sql["priorities"], active):
        found.setdefault((str(impact), str(urgency)), "" if priority is None else str(priority))
    return found


PRIORITIES = SnapshotPart("priorities", frozenset({"dl_u_priority"}), load_priorities)
"""The priority look-up; registered with the ``SnapshotHolder`` of the instance."""


class PriorityLookup:
    """Priority follows from impact and urgency; a given one counts where no row matches."""

    inputs = ("impact", "urgency")
    operations = _STORED

    def __init__(self, table: str) -> None:
        self.table = table

    def compute(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Look the priority up when one of the three fields changes."""
        if not any(draft.changed(name) for name in (*self.inputs, "priority")):
            return
        rows = transaction.snapshot.part(PRIORITIES)
        found = rows.get((draft.get("impact"), draft.get("urgency")))
        if found:
            draft.set("priority", found)


class UserName:
    """``sys_user.name`` is first and last name, unless it is given itself."""

    table = "sys_user"
    inputs = ("first_name", "last_name")
    operations = _STORED

    def compute(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Join the names when one of them changes."""
        if draft.change.values.get("name") or not any(map(draft.changed, self.inputs)):
            return
        name = " ".join(filter(None, (draft.get(part) for part in self.inputs)))
        if name:
            draft.set("name", name[: draft.table.fields["name"].max_length])


class SessionEpoch:
    """Locking a user, or making him inactive, ends his sessions for good, also if he comes back."""

    table = "sys_user"
    inputs = ("locked_out", "active")
    operations = frozenset({Operation.UPDATE})

    def compute(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Count from the stored value, so that a second run adds nothing."""
        if any(map(draft.changed, self.inputs)):
            draft.set("session_epoch", str(int(draft.old("session_epoch") or 0) + 1))


class ApiKeyHash:
    """The token of an API key is stored as its hash, under which it is found; never itself."""

    table = "api_key"
    inputs = ("token",)
    operations = _STORED

    def compute(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Take the token away once it is hashed.

        Raises:
            InvalidValue: it is too short to withstand guessing.
        """
        token = draft.get("token")
        if not token:
            return
        if len(token) < SHORTEST_KEY:
            raise InvalidValue(f"The token of an API key needs at least {SHORTEST_KEY} characters")
        draft.set("token_hash", hashlib.sha256(token.encode()).hexdigest())
        draft.set("token", "")


class ReopenCount:
    """Counts how often a resolved record was opened again; tells who did it last, and when."""

    inputs = ("state",)
    operations = frozenset({Operation.UPDATE})

    def __init__(self, table: str, resolved: frozenset[str], stamp: str) -> None:
        self.table = table
        self._resolved = resolved
        self._stamp = stamp

    def compute(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Count from the stored value, so that a second run adds nothing."""
        if draft.old("state") not in self._resolved or draft.get("state") in self._resolved:
            return
        draft.set("reopen_count", str(int(draft.old("reopen_count") or 0) + 1))
        draft.set("reopened_by", transaction.actor.sys_id)
        draft.set(self._stamp, datetime_text(transaction.now))


class CloseCodeRequired:
    """Behind a system property: resolving or closing needs a close code and close notes."""

    table = "incident"
    inputs = ("state", "close_code", "close_notes")
    operations = _STORED

    def compute(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Refuse with the wording of a data policy."""
        if not draft.changed("state") or draft.get("state") not in ("6", "7"):
            return
        if transaction.snapshot.part(PROPERTIES).get(REQUIRE_CLOSE_CODE, "").lower() != "true":
            return
        fields = draft.table.fields
        empty = [fields[n].label for n in ("close_code", "close_notes") if not draft.get(n)]
        if empty:
            draft.refuse(
                f"Data Policy Exception: \n\tThe following fields are mandatory: {', '.join(empty)}"
            )


COMPUTED: tuple[Computed, ...] = (
    PriorityLookup("incident"),
    PriorityLookup("problem"),
    UserName(),
    SessionEpoch(),
    ApiKeyHash(),
    ReopenCount("incident", frozenset({"6", "7", "8"}), "reopened_time"),
    ReopenCount("problem", frozenset({"106", "107"}), "reopened_at"),
)
"""What runs before the rules of order below 1000 and, where needed, again after them."""

CHECKS: tuple[Computed, ...] = (CloseCodeRequired(),)
"""What only refuses; runs after the rules of order below 1000."""
