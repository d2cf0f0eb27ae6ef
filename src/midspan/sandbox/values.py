"""What goes into the sandbox: scripts, limits, JSON values and the host function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

Host: TypeAlias = "Callable[[str, list[JsonValue]], JsonValue | Script]"
"""A synchronous call from a script into the instance: name and arguments to a JSON value.

When it returns a ``Script``, that is run in the global scope of the caller, and the call's value is
the script's completion value.
It runs in the thread that called ``SandboxSession.run`` and may raise; what it raises becomes a
JavaScript ``Error`` with ``message``, ``getMessage()`` and ``code``.
"""

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Script:
    """A text to run and the name under which errors report it.

    The name is the place a person can open, such as
    ``sys_ws_operation.<sys_id>.operation_script``. With ``es5`` newer syntax is refused, by pools
    that rewrite.
    """

    name: str
    text: str
    es5: bool = False


@dataclass(frozen=True)
class Limits:
    """How much one ``run`` may use, everything that it calls included.

    ``wall`` runs on while the host works; ``cpu`` counts the worker's processor time only.
    ``memory`` is the JavaScript heap in bytes and ``stack`` the native stack in bytes of one
    context: a plain recursion takes about 1.7 KiB a call. ``host_calls`` bounds the calls into the
    instance, ``depth`` how many runs may be nested through host calls.
    """

    wall: timedelta = timedelta(seconds=30)
    cpu: timedelta = timedelta(seconds=30)
    memory: int = 64 * _MIB
    host_calls: int = 100_000
    stack: int = 4 * _MIB
    depth: int = 20

    def __post_init__(self) -> None:
        """Refuse limits that could not run anything.

        Raises:
            ValueError: a limit is not positive, ``memory`` below 4 MiB, ``stack`` below 64 KiB.
        """
        if min(self.wall, self.cpu) <= timedelta(0) or self.host_calls < 0 or self.depth < 1:
            raise ValueError("wall, cpu and depth have to be positive, host_calls not negative")
        if self.memory < 4 * _MIB or self.stack < 64 * 1024:
            raise ValueError("memory has to be at least 4 MiB and stack at least 64 KiB")

    def fits_in(self, outer: Limits) -> bool:
        """Return whether a worker started for ``outer`` can hold these limits.

        Memory, stack and depth are fixed when a worker starts; time and calls are not.
        """
        return (
            self.memory <= outer.memory and self.stack <= outer.stack and self.depth <= outer.depth
        )
