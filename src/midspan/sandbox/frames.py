"""The messages between a session and its worker: a tag, a length, a body; used on both sides.

Parent to worker: ``INIT`` once, then ``RUN`` (also as the answer to a call, for a nested run),
``REPLY`` to a call, ``RESET`` at the end of a session. Worker to parent: ``HELLO`` or ``BROKEN``
once, then ``CALL`` for each host call and ``DONE`` or ``FAILED`` for each run. Values are JSON text
that only the two ends read: the worker hands it between the socket and the engine as it is.
The worker imports this file, so it imports hardly anything itself.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

INIT, RUN, REPLY, RESET = b"I", b"R", b"V", b"E"
HELLO, BROKEN, CALL, DONE, FAILED = b"H", b"B", b"C", b"D", b"F"

# How a run failed: the first byte of a FAILED message's text. After the first two comes the JSON
# description that bootstrap.js makes; SHORT is a throw while memory was nearly used up. After the
# others comes the engine's plain text: time, processor time, ended by the parent, heap, others.
THROWN, SHORT, WALL, CPU, STOPPED, MEMORY, ENGINE = b"t", b"n", b"w", b"c", b"s", b"m", b"x"

FRESH, DISCARD, ES5 = 1, 2, 4

_HEADER = Struct("!cI")
_RUN = Struct("!BIddQII")
_USAGE = Struct("!dQ")
_INIT = Struct("!QIIIII")
_ENTRY = Struct("!II")
_SMALL = 64 * 1024
HEADER_SIZE = _HEADER.size


class RunOrder(NamedTuple):
    """One script to run: seconds from now, bytes of heap and stack, first line, texts."""

    flags: int
    first_line: int
    wall: float
    cpu: float
    memory: int
    stack: int
    text: str
    variables: bytes | memoryview


class Usage(NamedTuple):
    """What the worker process uses: processor seconds so far, resident bytes now."""

    cpu: float
    resident: int


class Setup(NamedTuple):
    """What a worker needs to know before its first script.

    ``rewriter`` is the JavaScript that makes operators of scripts, empty for none. ``prelude`` are
    first lines and texts, ``parts`` names besides.
    """

    memory: int
    stack: int
    depth: int
    cpu: int
    parent: int
    rewriter: str
    prelude: list[tuple[int, str]]
    parts: list[tuple[int, str, str]]


def pieces(tag: bytes, body: bytes) -> tuple[bytes, ...]:
    """Return the message as it goes over the socket; a large body is not copied for that."""
    header = _HEADER.pack(tag, len(body))
    return (header + body,) if len(body) <= _SMALL else (header, body)


def read_frame(read: Callable[[int], bytes], limit: int) -> tuple[bytes, bytes]:
    """Read one message with ``read(n)``, which returns exactly ``n`` bytes.

    Raises:
        ValueError: the message is longer than ``limit`` bytes.
    """
    tag, length = _HEADER.unpack(read(HEADER_SIZE))
    if length > limit:
        raise ValueError(f"a message of {length} bytes, at most {limit} are allowed")
    return tag, read(length)


def pack_run(order: RunOrder) -> bytes:
    """Return the body of a RUN message."""
    text = order.text.encode()
    return b"".join((_RUN.pack(*order[:6], len(text)), text, order.variables))


def unpack_run(body: bytes) -> RunOrder:
    """Return the order in the body of a RUN message."""
    *numbers, length = _RUN.unpack_from(body)
    end = _RUN.size + length
    flags, first_line, wall, cpu, memory, stack = numbers
    text = body[_RUN.size : end].decode()
    return RunOrder(flags, first_line, wall, cpu, memory, stack, text, memoryview(body)[end:])


def pack_outcome(usage: Usage, text: bytes) -> bytes:
    """Return the body of a DONE or FAILED message."""
    return _USAGE.pack(*usage) + text


def unpack_outcome(body: bytes) -> tuple[Usage, bytes]:
    """Return usage and text of a DONE or FAILED message.

    Raises:
        ValueError: it is shorter than its fixed part.
    """
    if len(body) < _USAGE.size:
        raise ValueError("an outcome without figures")
    return Usage(*_USAGE.unpack_from(body)), body[_USAGE.size :]


def pack_setup(setup: Setup) -> bytes:
    """Return the body of an INIT message."""
    numbers = (setup.memory, setup.stack, setup.depth, setup.cpu, setup.parent)
    packed = [_INIT.pack(*numbers, len(setup.prelude))]
    texts = [(0, setup.rewriter), *setup.prelude]
    for line, name, text in setup.parts:
        texts += [(line, name), (line, text)]
    for first_line, text in texts:
        raw = text.encode()
        packed += [_ENTRY.pack(first_line, len(raw)), raw]
    return b"".join(packed)


def unpack_setup(body: bytes) -> Setup:
    """Return the set-up in the body of an INIT message."""
    texts = []
    at = _INIT.size
    while at < len(body):
        first_line, length = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        texts.append((first_line, body[at : at + length].decode()))
        at += length
    *numbers, count = _INIT.unpack_from(body)
    memory, stack, depth, cpu, parent = numbers
    (_, rewriter), prelude, rest = texts[0], texts[1 : count + 1], texts[count + 1 :]
    parts = [
        (line, name, text) for (line, name), (_, text) in zip(rest[::2], rest[1::2], strict=True)
    ]
    return Setup(memory, stack, depth, cpu, parent, rewriter, prelude, parts)
