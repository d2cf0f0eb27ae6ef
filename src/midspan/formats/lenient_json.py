"""JSON as callers really send it: strict first and fast, then tolerant of quotes and commas."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import orjson

from midspan.formats.weight import json_is_heavy
from midspan.kernel.errors import LimitExceeded, MalformedBody

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 100
MAX_TOLERANT_BYTES = 1024 * 1024
"""Bodies over this size must be strict JSON: the tolerant parser is about 50 times slower."""

_BOM = b"\xef\xbb\xbf"
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![\w.$])")
_WORD = re.compile(r"-?[^\W\d][\w$]*|\$[\w$]*")
_KEY = re.compile(r"[^\W\d][\w$.-]*|\$[\w$.-]*")
_PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]*'), "'": re.compile(r"[^'\\\x00-\x1f]*")}
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {
    '"': '"', "'": "'", "\\": "\\", "/": "/",
    "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
_CONSTANTS: dict[str, JsonValue] = {"true": True, "false": False, "null": None}


def parse(
    data: bytes | str, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_BYTES
) -> JsonValue:
    """Return the value of one JSON document.

    Beyond RFC 8259 a body of at most 1 MiB may use single-quoted strings, unquoted keys and
    one trailing comma, as the published examples of the vendor do (``spec/clients.md`` 6). A UTF-8
    byte order mark is skipped; of duplicate keys the last wins; integers of any length stay exact.

    >>> parse("{'urgency': '1', sysparm_quantity: 1,}")
    {'urgency': '1', 'sysparm_quantity': 1}
    >>> parse("[NaN]")
    Traceback (most recent call last):
    ...
    midspan.kernel.errors.MalformedBody: Not valid JSON: line 1, column 2: NaN is not a JSON value

    Raises:
        MalformedBody: it does not parse, is not UTF-8, nests deeper than ``max_depth`` or holds
            more values than memory is given for (see ``weight``); where it does not parse, the
            message has line and column (both from 1) and what was expected there.
        LimitExceeded: it is longer than ``max_bytes``.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > max_bytes:
        raise LimitExceeded(
            f"The JSON body has {len(raw)} bytes; at most {max_bytes} are accepted",
            hint="Send the data in several requests.",
        )
    raw = raw.removeprefix(_BOM)
    try:
        value: JsonValue = loads(raw)
    except orjson.JSONDecodeError as error:
        return _parse_tolerantly(raw, max_depth, error)
    _check_depth(raw, value, max_depth)
    return _parse_exactly(raw) if _LONG_NUMBER.search(raw) else value


def loads(raw: bytes) -> Any:
    """Return the value of a strict JSON document; a quick one, of which the depth may be 1,024.

    Raises:
        MalformedBody: it holds more values than memory is given for (see ``weight``).
        orjson.JSONDecodeError: it is not JSON.
    """
    if json_is_heavy(raw):
        raise MalformedBody(
            "The JSON body holds too many values", hint="Send the data in several requests."
        )
    return orjson.loads(raw)


def dumps(value: object) -> bytes:
    """Return ``value`` as compact UTF-8 JSON, keys in their order.

    >>> dumps({"result": [1, "é", None]})
    b'{"result":[1,"\\xc3\\xa9",null]}'
    >>> dumps(2**64)
    b'18446744073709551616'
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8", "replace")


def _parse_exactly(raw: bytes) -> JsonValue:
    """Read a document known to be valid again: orjson makes floats of integers over 64 bits."""
    try:
        value: JsonValue = json.loads(raw)
    except ValueError as error:
        raise MalformedBody(f"Not valid JSON: {error}") from error
    return value


def _parse_tolerantly(raw: bytes, max_depth: int, strict: orjson.JSONDecodeError) -> JsonValue:
    if len(raw) > MAX_TOLERANT_BYTES:
        raise MalformedBody(
            f"Not valid JSON: line {strict.lineno}, column {strict.colno}: {strict.msg}",
            hint=f"Bodies over {MAX_TOLERANT_BYTES} bytes must be strict JSON.",
        ) from strict
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise MalformedBody(
            f"Not valid JSON: line {line}, column {column}: the body is not UTF-8",
            detail=f"byte 0x{raw[error.start]:02x} at offset {error.start}",
        ) from error
    return _Tolerant(text, max_depth).document()


def _check_depth(raw: bytes, value: JsonValue, max_depth: int) -> None:
    """Refuse deep nesting; the walk is skipped when there are too few brackets for it."""
    if raw.count(b"[") + raw.count(b"{") <= max_depth:
        return
    level: list[JsonValue] = [value]
    for _ in range(max_depth + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return
        level = []
        for container in containers:
            level.extend(container.values() if isinstance(container, dict) else container)
    raise _too_deep(max_depth)


def _too_deep(max_depth: int, place: str = "") -> MalformedBody:
    return MalformedBody(
        f"Not valid JSON: {place}nested deeper than {max_depth} levels",
        hint="Send a flatter document.",
    )


class _Tolerant:
    """One pass over one text; the open containers are a list, so depth costs no Python frames."""

    def __init__(self, text: str, max_depth: int) -> None:
        self._text = text
        self._at = 0
        self._max_depth = max_depth
        self._open: list[dict[str, JsonValue] | list[JsonValue]] = []
        self._wants_member = False

    def document(self) -> JsonValue:
        """Return the value of the whole text."""
        root = self._value()
        while self._open:
            self._member(self._open[-1])
        if self._peek():
            self._fail("expected the end of the body")
        return root

    def _member(self, container: dict[str, JsonValue] | list[JsonValue]) -> None:
        """Read one step inside the innermost container: its end, a comma or one member."""
        close = "}" if isinstance(container, dict) else "]"
        mark = self._peek()
        if mark == close:
            self._at += 1
            self._open.pop()
            self._wants_member = False
        elif not self._wants_member:
            self._take(",", f"expected ',' or '{close}'")
            self._wants_member = True
        elif isinstance(container, dict):
            key = self._key()
            self._take(":", "expected ':' after the key")
            container[key] = self._value()
        else:
            container.append(self._value())

    def _value(self) -> JsonValue:
        """Read a scalar, or open a container and return it still empty."""
        mark = self._peek()
        self._wants_member = mark in ("{", "[")
        if self._wants_member:
            if len(self._open) >= self._max_depth:
                raise _too_deep(self._max_depth, f"{self._place()}: ")
            self._at += 1
            container: dict[str, JsonValue] | list[JsonValue] = {} if mark == "{" else []
            self._open.append(container)
            return container
        if mark in ("'", '"'):
            return self._string(mark)
        return self._bare()

    def _bare(self) -> JsonValue:
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            return self._number(number)
        word = _WORD.match(self._text, self._at)
        if word is None or word.group() not in _CONSTANTS:
            if word is not None and word.group().lstrip("-") in ("NaN", "Infinity"):
                self._fail(f"{word.group()} is not a JSON value", found=False)
            self._fail("expected a value")
        self._at = word.end()
        return _CONSTANTS[word.group()]

    def _number(self, number: re.Match[str]) -> int | float:
        text = number.group()
        try:
            value = int(text) if number.lastindex is None else float(text)
        except ValueError:
            self._fail(f"a number of {len(text)} digits is too long", found=False)
        if isinstance(value, float) and math.isinf(value):
            self._fail(f"{text} is too large for a number", found=False)
        self._at = number.end()
        return value

    def _key(self) -> str:
        mark = self._peek()
        if mark in ("'", '"'):
            return self._string(mark)
        name = _KEY.match(self._text, self._at)
        if name is None:
            self._fail("expected a key or '}'")
        self._at = name.end()
        return name.group()

    def _string(self, quote: str) -> str:
        start = self._at
        self._at += 1
        parts: list[str] = []
        while True:
            plain = _PLAIN[quote].match(self._text, self._at)
            if plain is not None:
                parts.append(plain.group())
                self._at = plain.end()
            mark = self._text[self._at : self._at + 1]
            if mark == quote:
                self._at += 1
                return "".join(parts)
            if mark != "\\":
                self._unfinished(mark, start, quote)
            parts.append(self._escape())

    def _unfinished(self, mark: str, start: int, quote: str) -> NoReturn:
        if mark:
            self._fail(f"a control character must be written as \\u{ord(mark):04x}", found=False)
        self._at = start
        self._fail(f"the string that starts here has no closing {quote}", found=False)

    def _escape(self) -> str:
        mark = self._text[self._at + 1 : self._at + 2]
        if mark == "u":
            return self._unicode_escape()
        if mark not in _ESCAPES:
            self._fail(f"unknown escape \\{mark}", found=False)
        self._at += 2
        return _ESCAPES[mark]

    def _unicode_escape(self) -> str:
        code = self._code_unit()
        if 0xD800 <= code < 0xDC00 and self._text.startswith("\\u", self._at):
            low = self._code_unit()
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
        if 0xD800 <= code < 0xE000:
            self._fail("half of a surrogate pair", found=False)
        return chr(code)

    def _code_unit(self) -> int:
        digits = _HEX4.match(self._text, self._at + 2)
        if digits is None:
            self._fail("expected four hexadecimal digits after \\u", found=False)
        self._at = digits.end()
        return int(digits.group(), 16)

    def _peek(self) -> str:
        """Skip white space and return the next character, empty at the end."""
        space = _SPACE.match(self._text, self._at)
        if space is not None:
            self._at = space.end()
        return self._text[self._at : self._at + 1]

    def _take(self, mark: str, expected: str) -> None:
        if self._peek() != mark:
            self._fail(expected)
        self._at += 1

    def _place(self) -> str:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - self._text.rfind("\n", 0, self._at)
        return f"line {line}, column {column}"

    def _fail(self, problem: str, *, found: bool = True) -> NoReturn:
        here = self._text[self._at : self._at + 1]
        suffix = (f", found {here!r}" if here else ", found the end of the body") if found else ""
        raise MalformedBody(f"Not valid JSON: {self._place()}: {problem}{suffix}")
