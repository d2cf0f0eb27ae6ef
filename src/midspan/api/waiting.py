"""What handlers that wait need: blocking work in a thread, and the word for a client that left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Disconnected(Exception):
    """The client went away before its request was complete."""


async def in_thread(
    function: Callable[_Arguments, _Result], *args: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """Run blocking work of a coroutine handler in a thread of the event loop's own pool."""
    return await asyncio.to_thread(function, *args, **named)
