"""The text of "set field values": ``field=value^other=value^EQ``."""

from __future__ import annotations

import re
from typing import TypeAlias

from msgspec import Struct

from midspan.kernel.errors import InvalidDefinition

_CARET = re.compile(r"\^\^|\^")
_PART = re.compile(r"([a-z_][a-z0-9_]*)(=|SAMEAS)(.*)", re.DOTALL)
_CURRENT = re.compile(r"javascript:\s*current\.([A-Za-z_][A-Za-z0-9_.]*)\s*;?\s*")
_HINT = "Expected field=value^field=value, with ^^ for a caret inside a value."


class Copy(Struct, frozen=True):
    """The value of another field of the same record, maybe behind references."""

    path: str


class FieldValue(Struct, frozen=True):
    """A field and what it is set to."""

    field: str
    value: str | Copy


Value: TypeAlias = str | Copy


def fields_set(template: str) -> tuple[FieldValue, ...]:
    """Read a template; the last value given to a field counts.

    A value is a constant wire text, empty or ``NULL`` to clear the field, a ``javascript:gs.``
    expression, or a copy: ``fieldSAMEASother`` as the vendor writes it, or
    ``field=javascript:current.other``, which may walk references.

    Raises:
        InvalidDefinition: a part cannot be read.

    >>> fields_set("state=2^close_notes=a^^b^assigned_toSAMEAScaller_id^EQ")[1:]
    (FieldValue(field='close_notes', value='a^b'), \
FieldValue(field='assigned_to', value=Copy(path='caller_id')))
    >>> fields_set("location=javascript:current.caller_id.location")
    (FieldValue(field='location', value=Copy(path='caller_id.location')),)
    """
    found: dict[str, FieldValue] = {}
    for part in _split(template):
        if part in ("", "EQ"):
            continue
        match = _PART.fullmatch(part)
        if match is None:
            raise InvalidDefinition(f"cannot read {part[:80]!r} of its field values", hint=_HINT)
        name, sign, value = match.groups()
        found.pop(name, None)
        found[name] = FieldValue(name, _value(sign, value))
    return tuple(found.values())


def _value(sign: str, text: str) -> Value:
    if sign == "SAMEAS":
        return Copy(text)
    current = _CURRENT.fullmatch(text)
    if current is not None:
        return Copy(current[1])
    return "" if text == "NULL" else text


def _split(template: str) -> list[str]:
    """Split at single carets; a double one becomes a caret of its part."""
    parts = [""]
    position = 0
    for match in _CARET.finditer(template):
        parts[-1] += template[position : match.start()]
        position = match.end()
        if match.group() == "^^":
            parts[-1] += "^"
        else:
            parts.append("")
    parts[-1] += template[position:]
    return parts
