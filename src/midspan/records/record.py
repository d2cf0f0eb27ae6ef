"""A record as read: the class it belongs to and the wire text of every field."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Record(Struct, frozen=True):
    """One row of ``table``, its real class; ``values`` has every stored field, empty is ``''``."""

    table: str
    values: Mapping[str, str]

    @property
    def sys_id(self) -> str:
        """The record's identifier."""
        return self.values["sys_id"]

    def get(self, name: str) -> str:
        """Return the wire text of a field; ``''`` when it is empty or no stored field."""
        return self.values.get(name, "")
