"""How a script may fail; each error names the script and, where it is known, the line.

ScriptError                     MS800  the script threw, or its result is not JSON
├── ScriptSyntaxError           MS801  it does not compile
├── ScriptTimeout               MS802  also LimitExceeded: wall or processor time
├── ScriptMemoryExceeded        MS803  also LimitExceeded: heap, string or array size
├── ScriptCallsExceeded         MS804  also LimitExceeded: host calls or nested runs
└── ScriptCrashed               MS805  the worker process is gone
SandboxUnavailable              MS806  an Unavailable: no worker could be had
"""

from __future__ import annotations

from dataclasses import dataclass

from midspan.kernel.errors import LimitExceeded, MidspanError, Unavailable
from midspan.sandbox.values import JsonValue


@dataclass(frozen=True)
class Failure:
    """Where and how a script failed.

    ``line`` and ``column`` count from 1 and are None when the engine does not know them: a
    thrown value that is no ``Error`` has no position, nor has a worker that had to be killed.
    ``stack`` has one frame a line, innermost first. ``thrown`` is the JSON form of the thrown
    value; an ``Error`` is ``{"name", "message"}`` and its own enumerable properties. ``source`` is
    the text of the line, shortened; only for texts that do not compile.
    """

    script: str
    text: str
    line: int | None = None
    column: int | None = None
    stack: str = ""
    thrown: JsonValue = None
    source: str = ""


class ScriptError(MidspanError):
    """The script threw and did not catch.

    ``message`` is the text form of the thrown value (``TypeError: x is not a function``; the text
    of a thrown string; the JSON of a thrown plain object). When the value came from the host,
    ``__cause__`` is the exception that the host raised. ``failure`` has the place and the value.
    """

    code = "MS800"

    def __init__(self, failure: Failure, *, hint: str | None = None) -> None:
        place = f"{failure.script}; line {failure.line}" if failure.line else failure.script
        detail = place if failure.line else f"{place}; line unknown"
        super().__init__(failure.text, detail=detail, hint=hint)
        self.failure = failure
        self.script = failure.script
        self.line = failure.line
        self.column = failure.column
        self.stack = failure.stack
        self.thrown = failure.thrown

    def __str__(self) -> str:
        """Return the message with its place, and the line when the text does not compile.

        Only here: detail and hint go to callers, who may not read the script.
        """
        source = f": {self.failure.source}" if self.failure.source else ""
        return f"{self.message} ({self.detail}{source})"


class ScriptSyntaxError(ScriptError):
    """The script does not compile; nothing of it ran."""

    code = "MS801"


class ScriptTimeout(ScriptError, LimitExceeded):
    """The script used up its wall or processor time; what it had done so far has happened.

    For a loop the engine knows the last position it passed before the loop: ``line`` is that one.
    """

    code = "MS802"


class ScriptMemoryExceeded(ScriptError, LimitExceeded):
    """The script wanted more memory than its limit, or a string or array beyond the engine's."""

    code = "MS803"


class ScriptCallsExceeded(ScriptError, LimitExceeded):
    """The script made too many host calls, or runs were nested too deeply."""

    code = "MS804"


class ScriptCrashed(ScriptError):
    """The worker process ended in the middle; other sessions are not touched."""

    code = "MS805"


class SandboxUnavailable(Unavailable):
    """No worker could be had: all are busy, none could be started, or the pool is closed."""

    code = "MS806"
