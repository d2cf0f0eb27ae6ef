"""The XML of ECC payloads: ``<parameters>`` of a job, ``<results>`` of its answer.

Written by template, read by expat with every document type refused and all sizes bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NoReturn
from xml.parsers import expat

from msgspec import Struct

from midspan_link.errors import InvalidMessage

MAX_XML = 512 * 1024
MAX_PARAMETERS = 1000
MAX_DEPTH = 8

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


class Results(Struct, frozen=True):
    """The answer to a job: named output values, the echo of its parameters, an error text."""

    outputs: dict[str, str]
    parameters: dict[str, str]
    probe_time_ms: int = 0
    result_code: int = 0
    error: str = ""


def write_parameters(values: Mapping[str, str]) -> str:
    r"""Return the payload of a job, in the order of the mapping.

    >>> write_parameters({"name": "a<b"})
    '<parameters><parameter name="name" value="a&lt;b"/></parameters>'

    Raises:
        InvalidMessage: a value holds a character that XML cannot carry, or the text is too large.
    """
    inner = "".join(
        f'<parameter name="{_escape(name)}" value="{_escape(value)}"/>'
        for name, value in values.items()
    )
    return _bounded(f"<parameters>{inner}</parameters>")


def read_parameters(text: str) -> dict[str, str]:
    """Read the payload of a job; an empty text is an empty payload, the last of equal names counts.

    Raises:
        InvalidMessage: not well-formed, a document type, another structure, or over a limit.
    """
    if not text.strip():
        return {}
    reader = _Reader("parameters")
    reader.read(text)
    return reader.parameters


def write_results(results: Results) -> str:
    """Return the payload of an answer; output names are attributes of ``<output>``."""
    outputs = "".join(
        f'<output name="{_escape(name)}">{_escape(value)}</output>'
        for name, value in results.outputs.items()
    )
    error = f' error="{_escape(results.error)}"' if results.error else ""
    head = (
        f'<results probe_time="{results.probe_time_ms}" result_code="{results.result_code}"{error}>'
    )
    return _bounded(
        f"{head}<result>{outputs}</result>{write_parameters(results.parameters)}</results>"
    )


def read_results(text: str) -> Results:
    """Read the payload of an answer.

    Raises:
        InvalidMessage: as ``read_parameters``.
    """
    reader = _Reader("results")
    reader.read(text)
    return Results(
        outputs=reader.outputs,
        parameters=reader.parameters,
        probe_time_ms=_whole(reader.root.get("probe_time", "0")),
        result_code=_whole(reader.root.get("result_code", "0")),
        error=reader.root.get("error", ""),
    )


def clean(text: str) -> str:
    """Return the text with each character that XML cannot carry replaced by U+FFFD."""
    return _NOT_XML.sub("\ufffd", text)


class _Reader:
    """One pass over a payload; keeps parameters and outputs."""

    def __init__(self, root: str) -> None:
        self.parameters: dict[str, str] = {}
        self.outputs: dict[str, str] = {}
        self.root: dict[str, str] = {}
        self._wanted = root
        self._path: list[str] = []
        self._output: str | None = None
        self._text: list[str] = []

    def read(self, text: str) -> None:
        _bounded(text)
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(text.encode(), True)
        except expat.ExpatError as error:
            raise InvalidMessage(f"The payload is not well-formed XML: {error}") from None
        except UnicodeEncodeError:
            raise InvalidMessage("The payload holds a lone surrogate") from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path:
            if name != self._wanted:
                raise InvalidMessage(f"The payload starts with <{name}>, not <{self._wanted}>")
            self.root = attributes
        if len(self._path) >= MAX_DEPTH:
            raise InvalidMessage(f"The payload is nested deeper than {MAX_DEPTH} levels")
        parent = self._path[-1] if self._path else ""
        self._path.append(name)
        if name == "parameter" and parent == "parameters":
            self._add(self.parameters, attributes, attributes.get("value", ""))
        elif name == "output":
            self._output = attributes.get("name", "output")
            self._text = []

    def _end(self, name: str) -> None:
        self._path.pop()
        if name == "output" and self._output is not None:
            self._add(self.outputs, {"name": self._output}, "".join(self._text))
            self._output = None

    def _characters(self, data: str) -> None:
        if self._output is not None:
            self._text.append(data)

    def _add(self, values: dict[str, str], attributes: dict[str, str], value: str) -> None:
        name = attributes.get("name")
        if name is None:
            raise InvalidMessage("A <parameter> has no name")
        if len(values) >= MAX_PARAMETERS:
            raise InvalidMessage(f"The payload has more than {MAX_PARAMETERS} values")
        values[name] = value


def _refuse_doctype(*_: object) -> NoReturn:
    raise InvalidMessage("The payload declares a document type, which is refused")


def _escape(text: str) -> str:
    bad = _NOT_XML.search(text)
    if bad:
        raise InvalidMessage(
            f"XML cannot carry the character U+{ord(bad[0]):04X}", hint="Remove it or encode it."
        )
    return text.translate(_ESCAPES)


def _bounded(text: str) -> str:
    if len(text) > MAX_XML:
        raise InvalidMessage(f"The payload is longer than {MAX_XML} characters")
    return text


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidMessage(f"{text[:40]!r} is not a whole number") from None
