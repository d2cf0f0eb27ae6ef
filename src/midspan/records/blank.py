"""What a new record has before anybody gives it a value."""

from __future__ import annotations

from msgspec import Struct

from midspan.dictionary import Storage
from midspan.records.snapshot import Snapshot
from midspan.security.dynamic import PREFIX


class BlankRow(Struct, frozen=True):
    """A new row of a class: its values by field, and those that an expression gives."""

    values: dict[str, str]
    computed: tuple[tuple[str, str], ...]


def blank_row(snapshot: Snapshot, table: str) -> BlankRow:
    """Return the new row of a class, for ``Snapshot.derive``."""
    fields = snapshot.dictionary.table(table).fields.values()
    stored = [field for field in fields if field.storage is not Storage.NONE]
    computed = {field.name: field.default for field in stored if field.default.startswith(PREFIX)}
    values = {field.name: "" if field.name in computed else field.default for field in stored}
    return BlankRow(values, tuple(computed.items()))
