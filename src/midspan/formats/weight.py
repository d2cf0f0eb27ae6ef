"""How much memory a JSON or XML document would take once it is read, told before it is read.

Ten megabytes of ``{},{},…`` become three million objects. So the marks that make an object are
counted first; a count by ``bytes.count`` is enough for nearly every document, and only one that
looks too heavy is looked at again, mark by mark, without what is in its texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MOST = 32 * 1024 * 1024
"""Bytes that the values of one document may take, beside the text in them."""

_OBJECT, _ARRAY, _VALUE = 200, 64, 100
_ELEMENT, _ATTRIBUTE = 250, 220
"""Bytes for each: measured with CPython 3.11 and 3.13 and libxml2 2.14, rounded up."""
_JSON_COST = {b"{": _OBJECT, b"[": _ARRAY, b",": _VALUE}
_JSON_MARKS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{\[,]', re.DOTALL)
_XML_MARKS = re.compile(
    rb"""<!\[CDATA\[.*?\]\]>|<!--.*?-->|<\?.*?\?>|<(?:[^>"']|"[^"]*+"|'[^']*+')*+""", re.DOTALL
)
_WIDE = re.compile(rb"\A(?:\xff\xfe|\xfe\xff|\x00|<\x00)")


def json_is_heavy(raw: bytes, most: int = MOST) -> bool:
    """Tell whether the values of a JSON document would take more than ``most`` bytes.

    >>> json_is_heavy(b"[" + b"{}," * 200_000 + b"{}]")
    True
    >>> json_is_heavy(b'["' + b"," * 900_000 + b'"]')
    False
    """
    if len(raw) * _OBJECT <= most:
        return False
    if sum(raw.count(mark) * cost for mark, cost in _JSON_COST.items()) <= most:
        return False
    found = (match.group() for match in _JSON_MARKS.finditer(raw))
    return _exceeds((_JSON_COST.get(mark, 0) for mark in found), most)


def xml_is_heavy(raw: bytes, most: int = MOST) -> bool:
    """Tell whether elements and attributes of an XML document would take more than ``most`` bytes.

    >>> xml_is_heavy(b"<r>" + b"<a/>" * 200_000 + b"</r>")
    True
    >>> xml_is_heavy(b"<r>" + b"=" * 900_000 + b"</r>")
    False
    """
    if len(raw) * _ATTRIBUTE <= most:
        return False
    opened = raw.count(b"<") - raw.count(b"</")
    if opened * _ELEMENT + raw.count(b"=") * _ATTRIBUTE <= most:
        return False
    if _WIDE.match(raw):
        return True
    found = (match.group() for match in _XML_MARKS.finditer(raw))
    return _exceeds((_xml_cost(mark) for mark in found), most)


def _xml_cost(mark: bytes) -> int:
    if mark.startswith((b"</", b"<!", b"<?")):
        return 0
    return _ELEMENT + mark.count(b"=") * _ATTRIBUTE


def _exceeds(costs: Iterator[int], most: int) -> bool:
    total = 0
    for cost in costs:
        total += cost
        if total > most:
            return True
    return False
