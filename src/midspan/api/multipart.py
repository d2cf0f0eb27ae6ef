"""A ``multipart/form-data`` body read as it comes: fields whole, files piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from midspan.api.errors import UnsupportedMediaType
from midspan.kernel.errors import MalformedBody

MOST_PARTS = 20
LONGEST_FIELD = 4_000
"""Bytes of a text field; files have a limit of their own."""
SLICE = 65_536
_ENCODED_NAME = re.compile(r"filename\*=(?:UTF-8|utf-8)''([^;\s]+)")


@dataclass(frozen=True)
class FieldRead:
    """A text field, whole."""

    name: str
    text: str


@dataclass(frozen=True)
class FileBegins:
    """A file; its bytes follow."""

    name: str
    content_type: str
    """As its part says; empty when it does not."""


@dataclass(frozen=True)
class FileBytes:
    """Some bytes of the file that began last."""

    data: bytes


FormEvent: TypeAlias = FieldRead | FileBegins | FileBytes


class FormReader:
    """Turns the bytes of a form into events; holds one slice and one text field in memory."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise UnsupportedMediaType(
                "Unsupported media type", hint="Send multipart/form-data with a boundary."
            )
        self.complete = False
        """Whether the closing boundary was seen."""
        self._events: list[FormEvent] = []
        self._parts = 0
        self._headers: dict[str, str] = {}
        self._name, self._value = b"", b""
        self._text: bytearray | None = None
        with _readable():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header,
                    "on_headers_finished": self._headers_read,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._finished,
                },
            )

    def feed(self, data: bytes) -> Iterator[FormEvent]:
        """Yield what ``data`` brings.

        Raises:
            MalformedBody: this is no such form, or one with too many or too long fields.
        """
        for at in range(0, len(data), SLICE):
            with _readable():
                self._parser.write(data[at : at + SLICE])
            events, self._events = self._events, []
            yield from events

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise MalformedBody(f"The form has more than {MOST_PARTS} parts")
        self._headers, self._name, self._value, self._text = {}, b"", b"", None

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name, self._value = b"", b""

    def _headers_read(self) -> None:
        described = self._headers.get("content-disposition", "")
        _, options = parse_options_header(described)
        encoded = _ENCODED_NAME.search(described)
        if b"filename" in options or encoded:
            name = unquote(encoded[1]) if encoded else _text(options[b"filename"])
            self._events.append(FileBegins(name, self._headers.get("content-type", "")))
        else:
            self._text = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._text is None:
            self._events.append(FileBytes(data[start:end]))
            return
        self._text += data[start:end]
        if len(self._text) > LONGEST_FIELD:
            raise MalformedBody(
                f"A text field of the form is longer than {LONGEST_FIELD} bytes",
                hint="The part of a file needs a filename.",
            )

    def _end(self) -> None:
        if self._text is not None:
            _, options = parse_options_header(self._headers.get("content-disposition", ""))
            name = _text(options.get(b"name", b""))
            self._events.append(FieldRead(name, _text(bytes(self._text))))

    def _finished(self) -> None:
        self.complete = True


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise MalformedBody("The form cannot be read", detail=str(error)) from error


def _text(raw: bytes) -> str:
    """Browsers and libraries send UTF-8; what is none is taken byte by byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
