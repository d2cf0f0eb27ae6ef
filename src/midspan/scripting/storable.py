"""Texts of scripts in the form that both databases can keep and compare.

PostgreSQL keeps neither NUL nor halves of a character; the Table API leaves both out as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Any) -> Any:
    """Return JSON without the characters that no database keeps; what has none stays as it is.

    >>> storable({"a": ["x\\0y", 1, None], "\\ud800b": "é"})
    {'a': ['xy', 1, None], 'b': 'é'}
    """
    if isinstance(value, str):
        return _NOT_STORABLE.sub("", value)
    if isinstance(value, dict):
        return {storable(name): storable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [storable(member) for member in value]
    return value


def with_storable(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a host call that gets its arguments in storable form."""

    def cleaned(*arguments: Any) -> Any:
        return call(*(storable(argument) for argument in arguments))

    return cleaned
