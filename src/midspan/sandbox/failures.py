"""From a worker's account of a failed run to the error that the caller gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from midspan.sandbox import frames, jsontext
from midspan.sandbox.errors import (
    Failure,
    ScriptCallsExceeded,
    ScriptError,
    ScriptMemoryExceeded,
    ScriptSyntaxError,
    ScriptTimeout,
)
from midspan.sandbox.stacks import LineMap, Trace
from midspan.sandbox.values import JsonValue, Limits, Script

# Errors by which the engine refuses a size; a script may catch them and go on within its limit.
_TOO_LARGE = {
    ("InternalError", "out of memory"),
    ("InternalError", "string too long"),
    ("RangeError", "invalid string length"),
    ("RangeError", "invalid array length"),
    ("RangeError", "invalid array buffer length"),
    ("RangeError", "invalid max array buffer length"),
    ("RangeError", "BigInt is too large to allocate"),
    ("RangeError", "BigInt is too large"),
}
_LONGEST_TEXT = 16_384
_LONGEST_LINE = 120
_MEMORY_HINT = "Work through large data in parts, or raise the memory limit for scripts."
_TIME_HINT = "Look for a loop that does not end, or give the work to a scheduled job."


def from_worker(
    body: bytes, script: Script, lines: LineMap, limits: Limits, stopped: str
) -> tuple[ScriptError, int | None]:
    """Return the error for a FAILED message and the number of the host's exception behind it.

    ``stopped`` says why the parent ended the run, if it did: ``wall`` or ``calls``.
    """
    kind, text = body[:1], body[1:]
    if kind in (frames.THROWN, frames.SHORT):
        described = jsontext.decode(text)
        if not isinstance(described, dict):
            raise ValueError("a description that is not an object")
        return _thrown(described, script, lines, short=kind == frames.SHORT)
    plain = text.decode(errors="replace")
    if kind == frames.STOPPED:
        return _stopped(_failure(script, "", lines.read(plain)), limits, stopped), None
    first, _, stack = plain.partition("\n")
    if kind == frames.ENGINE:
        return ScriptError(_failure(script, first, lines.read(stack))), None
    return _exhausted(kind, _failure(script, "", lines.read_endless(stack, script)), limits), None


def _exhausted(kind: bytes, failure: Failure, limits: Limits) -> ScriptError:
    if kind == frames.MEMORY:
        text = f"Script needs more than {limits.memory // (1024 * 1024)} MiB of memory"
        return ScriptMemoryExceeded(replace(failure, text=text), hint=_MEMORY_HINT)
    text = too_slow(limits)
    if kind == frames.CPU:
        text = f"Script used more than {limits.cpu.total_seconds():g} s of processor time"
    return ScriptTimeout(replace(failure, text=text), hint=_TIME_HINT)


def _stopped(failure: Failure, limits: Limits, why: str) -> ScriptError:
    if why == "wall":
        return ScriptTimeout(replace(failure, text=too_slow(limits)), hint=_TIME_HINT)
    text = f"Script made more than {limits.host_calls} calls into the instance"
    return ScriptCallsExceeded(replace(failure, text=text))


def too_slow(limits: Limits) -> str:
    """Return the sentence for a run over its wall time."""
    return f"Script ran longer than {limits.wall.total_seconds():g} s"


def _thrown(
    described: Mapping[str, Any], script: Script, lines: LineMap, *, short: bool
) -> tuple[ScriptError, int | None]:
    text, host = str(described.get("text"))[:_LONGEST_TEXT], described.get("host")
    trace = lines.read(str(described.get("stack")))
    value: JsonValue = jsontext.decode(str(described.get("thrown")).encode())
    failure = _failure(script, text, trace, thrown=value)
    number = host if isinstance(host, int) else None
    known = (described.get("name"), described.get("message"))
    if known in _TOO_LARGE or (short and text == "null"):
        # With no memory left for an error object the engine throws null.
        words = "out of memory" if text == "null" else text
        trace = lines.read_endless(str(described.get("stack")), script)
        failure = _failure(script, words, trace, thrown=value)
        return ScriptMemoryExceeded(failure, hint=_MEMORY_HINT), number
    if known[0] == "SyntaxError" and not trace.function:
        return ScriptSyntaxError(_with_source(failure, lines)), number
    return ScriptError(failure), number


def _with_source(failure: Failure, lines: LineMap) -> Failure:
    if not failure.line:
        return failure
    source = lines.line_of(failure.script, failure.line).strip()
    if len(source) > _LONGEST_LINE:
        at = max(0, (failure.column or 1) - _LONGEST_LINE // 2)
        source = f"{source[at : at + _LONGEST_LINE]}…"
    return replace(failure, source=source)


def _failure(script: Script, text: str, trace: Trace, *, thrown: JsonValue = None) -> Failure:
    if trace.position is None:
        return Failure(script.name, text, stack=trace.text, thrown=thrown)
    where, line, column = trace.position
    return Failure(where, text, line, column, trace.text, thrown)
