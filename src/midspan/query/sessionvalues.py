"""What evaluates the ``javascript:`` values of a query, for one user at one instant."""

from __future__ import annotations

from typing import Protocol


class ValueResolver(Protocol):
    """Evaluates the part after ``javascript:`` of a value, for one user at one instant."""

    def __call__(self, text: str, /, *, as_day: bool = False) -> str | None:
        """Return the value as text, or None when the expression is not known.

        With ``as_day`` an instant is given as the day that it is in the user's time zone.
        """
        ...

    @property
    def zone(self) -> str:
        """The time zone that days and hours are those of."""
        ...

    def option(self, sys_id: str, /) -> str | None:
        """Return the expression of a dynamic filter option, or None when there is none."""
        ...
