"""Records that a script sees under a name such as ``source``, ``target`` or ``current``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from midspan.records import Draft


class View(Protocol):
    """A record that lives in the instance and that a script reads and changes as it runs.

    ``version`` has to grow when anything else than the script changed the record, so that the
    script looks again.
    """

    @property
    def version(self) -> int:
        """How often the record was changed from outside the script."""
        ...

    @property
    def stored(self) -> bool:
        """Whether the record is as the script sees it, with nothing about to be written."""
        ...

    @property
    def table(self) -> str:
        """The table whose fields the script sees."""
        ...

    @property
    def operation(self) -> str | None:
        """``insert``, ``update`` or ``delete`` where the record is about to be written."""
        ...

    @property
    def before(self) -> Mapping[str, str]:
        """Wire texts by field before any change."""
        ...

    @property
    def changed(self) -> Mapping[str, str]:
        """Wire texts of the fields that differ by now."""
        ...

    def set(self, name: str, text: str) -> None:
        """Give a field a value."""
        ...

    def abort(self, refused: bool) -> None:
        """Ask that the record is not written."""
        ...


class RecordView:
    """A view of plain values: a staged row, or a target row that is written later.

    One that is ``stored`` is to scripts like a record that they read: what they set is written when
    they call ``update()``, and not before.

    >>> target = RecordView("incident", {"short_description": "old"})
    >>> target.set("short_description", "new")
    >>> target.changed, target.get("short_description")
    ({'short_description': 'new'}, 'new')
    """

    def __init__(
        self, table: str, values: Mapping[str, str], *, operation: str | None = None
    ) -> None:
        self.version = 0
        self.stored = False
        self.table = table
        self.operation = operation
        self.before: Mapping[str, str] = values
        self.changed: dict[str, str] = {}
        self.aborted = False

    def get(self, name: str) -> str:
        """Return the present value of a field; ``''`` when it is empty."""
        return self.changed.get(name, self.before.get(name, ""))

    def set(self, name: str, text: str) -> None:
        """Give a field a value."""
        self.changed[name] = text

    def put(self, name: str, text: str) -> None:
        """Give a field a value from outside a script; the next script sees it."""
        self.version += 1
        self.changed[name] = text

    def replace(
        self,
        values: Mapping[str, str],
        *,
        operation: str | None = None,
        stored: bool = False,
        table: str = "",
    ) -> None:
        """Move on to another row; a session shows it to the next script."""
        self.version += 1
        self.stored = stored
        self.table = table or self.table
        self.before = values
        self.operation = operation
        self.changed = {}
        self.aborted = False

    def abort(self, refused: bool) -> None:
        """Note that the script asked for the record not to be written."""
        self.aborted = refused


class DraftView:
    """A view of a change under way, for business rules; writes go to the draft at once."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.table = draft.table.name
        self.operation: str | None = draft.operation.value

    version = 0
    stored = False

    @property
    def before(self) -> Mapping[str, str]:
        """The stored record; empty for an insert."""
        return self._draft.before.values if self._draft.before else {}

    @property
    def changed(self) -> Mapping[str, str]:
        """What differs from the stored record, journal entries included."""
        return {
            **{name: new for name, (_, new) in self._draft.changes().items()},
            **self._draft.journal,
        }

    def set(self, name: str, text: str) -> None:
        """Give a field of the draft a value."""
        self._draft.set(name, text)

    def abort(self, refused: bool) -> None:
        """Refuse the draft."""
        if refused:
            self._draft.refuse("Operation aborted by a script")
        else:
            self._draft.refused = None
