"""XML without DTD, entities or network, and its translation to and from plain objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from lxml import etree

from midspan.formats.lenient_json import JsonValue
from midspan.formats.weight import xml_is_heavy
from midspan.kernel.errors import InvalidValue, LimitExceeded, MalformedBody

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 100
MAX_ATTRIBUTES = 1_000
"""Of one element; reading them takes time with the square of their number."""

_ENCODINGS = re.compile(
    r"utf-?8|utf-?16(?:le|be)?|(?:us-)?ascii|iso-8859-\d+|latin-?1|(?:windows-|cp)125\d|koi8-[ru]"
    r"|shift_jis|euc-(?:jp|kr)|gb2312|gbk|gb18030|big5",
    re.IGNORECASE,
)
"""In all of them the signs that XML is made of are the bytes that they are in ASCII."""
_ENCODING = re.compile(rb"""\A[^>]{,200}?encoding\s*=\s*["']([^"']{,40})["']""")
_STARTS = (b"<", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00<", b" ", b"\t", b"\r", b"\n")
_HEAD = 64 * 1024
"""Bytes in which a DOCTYPE is looked for; one that comes later is found when all is read."""
_DOCTYPE = re.compile(rb"\A(?:\xef\xbb\xbf)?+(?:\s|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'


class XmlError(MalformedBody):
    """The body is not XML that may be read: broken, with a DTD, or nested too deep."""


def parse(data: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> etree._Element:
    """Return the root element; comments and processing instructions are left out.

    The encoding is taken from byte order mark or declaration, UTF-8 without either.

    >>> parse(b"<request><entry><u_a>1</u_a></entry></request>").tag
    'request'
    >>> parse(b"<!DOCTYPE a><a/>")
    Traceback (most recent call last):
    ...
    midspan.formats.xml.XmlError: XML with a DOCTYPE is refused

    Raises:
        XmlError: not well-formed (message with line and column), any DOCTYPE, or more than
            ``max_depth`` levels of elements, or more elements and attributes than memory is given
            for (see ``weight``).
        LimitExceeded: longer than ``max_bytes``.
    """
    if len(data) > max_bytes:
        raise LimitExceeded(
            f"The XML body has {len(data)} bytes; at most {max_bytes} are accepted",
            hint="Send the data in several requests.",
        )
    _check_before(data)
    try:
        root = etree.fromstring(data, _hardened_parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise XmlError(_explain(error)) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise _doctype()
    _check_depth(root, max_depth)
    return root


def to_object(element: etree._Element) -> JsonValue:
    """Return what is below ``element`` as plain values; its own name is dropped.

    Child names (without namespace) become keys, repeated children a list, leaf text a string, empty
    elements ``""``, attributes ``@name``, and text beside children or attributes ``#text``.
    ``<request>`` with ``<entry>`` children gives the entry, or the list of several entries.

    >>> to_object(parse(b"<a><b>1</b><b>2</b><c.d x='y'>z</c.d></a>"))
    {'b': ['1', '2'], 'c.d': {'@x': 'y', '#text': 'z'}}
    >>> to_object(parse(b"<request><entry><state>2</state></entry></request>"))
    {'state': '2'}

    Source: ``spec/scripting.md`` §1.4 and ``spec/rest-api.md`` §1.10.
    """
    # A list of the children would be as large as their elements.
    names = {_local(child.tag) for child in element.iterchildren("{*}*")}
    if names == {"entry"} and _local(element.tag) == "request":
        entries = [_value_of(child) for child in element.iterchildren("{*}*")]
        return entries[0] if len(entries) == 1 else entries
    return _value_of(element)


def from_object(name: str, value: object, *, max_depth: int = MAX_DEPTH) -> etree._Element:
    """Return an element ``name`` that holds ``value``; the inverse of ``to_object``.

    A mapping gives one child per key, a list under a key repeats that element (an empty list gives
    none), a list without a key of its own gives ``<entry>`` elements. None is an empty element,
    booleans are ``true`` and ``false``. Characters that XML 1.0 forbids are dropped; characters
    that no element name may hold become ``_``.

    >>> to_bytes(from_object("response", {"result": [{"number": "INC1", "note": ""}]}))[38:]
    b'<response><result><number>INC1</number><note/></result></response>'
    >>> to_bytes(from_object("response", {"result": []}))[38:]
    b'<response/>'

    Raises:
        InvalidValue: nested deeper than ``max_depth``, as an object that holds itself is.
    """
    element = etree.Element(_element_name(name))
    _fill(element, value, max_depth)
    return element


def to_bytes(element: etree._Element) -> bytes:
    """Return the document as UTF-8 with its declaration, without added white space."""
    return _DECLARATION + etree.tostring(element, encoding="utf-8", with_tail=False)


def clean_text(text: str) -> str:
    r"""Drop the characters that XML 1.0 forbids.

    >>> clean_text("a\x00b\x0bc\td")
    'abc\td'
    """
    return _FORBIDDEN.sub("", text)


def _hardened_parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        strip_cdata=True,
    )


def _check_before(data: bytes) -> None:
    """Refuse what costs too much to be read at all.

    So that this can be seen from the bytes, encodings are refused that hide the signs of XML, as
    UTF-7 does.
    """
    head = data[:_HEAD]
    if b"\x00" in head[:4]:  # UTF-16
        head = head.replace(b"\x00", b"").removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
    declared = _ENCODING.match(head)
    known = declared is None or _ENCODINGS.fullmatch(declared[1].decode("ascii", "replace"))
    if not known or (data and not data.startswith(_STARTS)):
        raise XmlError("Not valid XML: not text in a known encoding", hint="Send UTF-8.")
    if _DOCTYPE.match(head):
        raise _doctype()
    if xml_is_heavy(data):
        raise XmlError(
            "The XML body holds too many elements or attributes",
            hint="Send the data in several requests.",
        )


def _doctype() -> XmlError:
    return XmlError("XML with a DOCTYPE is refused", hint="Remove the <!DOCTYPE …> line.")


def _explain(error: etree.XMLSyntaxError | ValueError) -> str:
    if isinstance(error, etree.XMLSyntaxError) and error.msg:
        line, column = error.position
        problem = re.sub(r", line \d+, column \d+.*$", "", error.msg)
        return f"Not valid XML: line {line}, column {column}: {problem}"
    return "Not valid XML: not text in a known encoding"


def _check_depth(root: etree._Element, max_depth: int) -> None:
    """Walk the tree without recursion and refuse the first element that is too deep."""
    depth = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if len(element.keys()) > MAX_ATTRIBUTES:
            raise XmlError(f"An XML element has more than {MAX_ATTRIBUTES} attributes")
        if depth > max_depth:
            raise XmlError(
                f"XML nested deeper than {max_depth} elements", hint="Send a flatter document."
            )


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2]


def _value_of(element: etree._Element) -> JsonValue:
    found: dict[str, JsonValue] = {
        f"@{_local(name)}": str(value) for name, value in element.items()
    }
    repeated: set[str] = set()
    text = element.text or ""
    leaf = not found
    for child in element.iterchildren("{*}*"):
        leaf = False
        _add(found, repeated, _local(child.tag), _value_of(child))
        text += child.tail or ""
    if leaf:
        return text
    if text.strip():
        found["#text"] = text.strip()
    return found


def _add(found: dict[str, JsonValue], repeated: set[str], name: str, value: JsonValue) -> None:
    if name not in found:
        found[name] = value
        return
    earlier = found[name]
    if name in repeated and isinstance(earlier, list):
        earlier.append(value)
    else:
        found[name] = [earlier, value]
        repeated.add(name)


def _fill(element: etree._Element, value: object, levels: int) -> None:
    if levels <= 0:
        raise InvalidValue(
            "The value is nested too deep for XML", hint="Does an object hold itself?"
        )
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _fill_member(element, str(key), inner, levels)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for inner in value:
            _fill(etree.SubElement(element, "entry"), inner, levels - 1)
    else:
        element.text = _text_of(value)


def _fill_member(element: etree._Element, key: str, value: object, levels: int) -> None:
    if key == "#text":
        element.text = _text_of(value)
    elif key.startswith("@") and len(key) > 1:
        element.set(_element_name(key[1:]), _text_of(value) or "")
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for inner in value:
            _fill(etree.SubElement(element, _element_name(key)), inner, levels - 1)
    else:
        _fill(etree.SubElement(element, _element_name(key)), value, levels - 1)


def _text_of(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean_text(str(value)) or None


def _element_name(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return name
    start, wrong = _name_patterns()
    safe = wrong.sub("_", clean_text(name))
    return safe if start.match(safe) else f"_{safe}"


@cache
def _name_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what may start a name in XML 1.0, and what no name holds; the colon counts as wrong.

    Compiled when first needed: these ranges take 12 ms.
    """
    start = (
        "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d"
        "\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
    )
    inside = f"{start}0-9.\u00b7\u0300-\u036f\u203f\u2040-"
    return re.compile(f"[{start}]"), re.compile(f"[^{inside}]")
