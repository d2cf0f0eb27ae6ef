"""SOAP 1.1 messages: envelopes read leniently, answers and faults written exactly. Pure.

Clients of twenty years put operations and fields into all kinds of namespaces, or none. What
counts is the local name: of the body's first element for the operation, of its children for the
fields. The parser leaves nothing but elements among children (``formats.xml``).
"""

from __future__ import annotations

import re

from lxml import etree
from msgspec import Struct

from midspan.formats import JsonValue, xml
from midspan.kernel.errors import MalformedBody

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
CONTENT_TYPE = "text/xml;charset=UTF-8"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_START = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    f'<SOAP-ENV:Envelope xmlns:SOAP-ENV="{ENVELOPE}"><SOAP-ENV:Body>'
)
_END = "</SOAP-ENV:Body></SOAP-ENV:Envelope>"
_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}

Fields = tuple[tuple[str, str], ...]
"""Names and texts in the order in which they came; a name may come twice."""


class Nested(Struct, frozen=True):
    """An element of elements: its name, its leaves, and what is nested in it."""

    name: str
    fields: Fields
    nested: tuple[Nested, ...] = ()


class Call(Struct, frozen=True):
    """An operation with its parameters."""

    operation: str
    fields: Fields
    records: tuple[Fields, ...] = ()
    """The ``<record>`` children, for operations on several."""
    nested: tuple[Nested, ...] = ()
    """All other children with children."""

    def text(self, name: str) -> str:
        """Return the first parameter of this name without white space around it, or ``''``."""
        return next((text.strip() for key, text in self.fields if key == name), "")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all parameters of this name that are not empty."""
        return tuple(text.strip() for key, text in self.fields if key == name and text.strip())


class SoapFault(Exception):
    """What is answered instead of a result.

    ``code`` is ``Client`` for what another message would mend, else ``Server``.
    """

    def __init__(self, text: str, detail: str = "", *, code: str = "Server") -> None:
        super().__init__(text)
        self.text = text
        self.detail = detail
        self.code = code


def read_call(body: bytes) -> Call:
    """Read an envelope.

    >>> read_call(b"<Envelope><Body><get xmlns='urn:x'><sys_id>1</sys_id></get></Body></Envelope>")
    Call(operation='get', fields=(('sys_id', '1'),), records=(), nested=())

    Raises:
        XmlError: the text is no XML that may be read.
        MalformedBody: it is XML, but no envelope with an operation.
    """
    wrapper = read_wrapper(body)
    fields: list[tuple[str, str]] = []
    records: list[Fields] = []
    nested: list[Nested] = []
    for child in wrapper:
        name, leaf = local_name(child), not len(child)
        if leaf:
            fields.append((name, _text(child)))
        if name == "record":
            records.append(_fields(child))
        elif not leaf:
            nested.append(Nested(name, _fields(child), _nested(child)))
    return Call(local_name(wrapper), tuple(fields), tuple(records), tuple(nested))


def read_wrapper(body: bytes) -> etree._Element:
    """Return the first element in the body of an envelope.

    Raises:
        XmlError: the text is no XML that may be read.
        MalformedBody: it is XML, but no envelope with an operation.
    """
    root = xml.parse(body)
    if local_name(root) != "Envelope":
        raise MalformedBody(f"Expected a SOAP envelope, got the element {local_name(root)[:80]}")
    content = next((child for child in root if local_name(child) == "Body"), None)
    if content is None:
        raise MalformedBody("The SOAP envelope has no Body")
    wrapper = next(iter(content), None)
    if wrapper is None:
        raise MalformedBody("The Body of the SOAP envelope is empty; expected an operation")
    return wrapper


def values_of(parent: etree._Element) -> dict[str, JsonValue]:
    """Return what is below an element by local names: texts, objects, lists where a name repeats.

    >>> body = b"<Envelope><Body><f><a>1</a><b><c/></b><a>2</a></f></Body></Envelope>"
    >>> values_of(read_wrapper(body))
    {'a': ['1', '2'], 'b': {'c': ''}}
    """
    found: dict[str, list[JsonValue]] = {}
    for child in parent:
        value: JsonValue = values_of(child) if len(child) else ""
        found.setdefault(local_name(child), []).append(value or _text(child))
    return {name: one[0] if len(one) == 1 else one for name, one in found.items()}


def message(content: str) -> bytes:
    """Return an envelope around the text of one element."""
    return f"{_START}{content}{_END}".encode()


def fault_message(fault: SoapFault) -> bytes:
    """Return the envelope of a fault."""
    return message(
        f"<SOAP-ENV:Fault><faultcode>SOAP-ENV:{fault.code}</faultcode>"
        f"<faultstring>{escaped(fault.text)}</faultstring>"
        f"<detail>{escaped(fault.detail or fault.text)}</detail></SOAP-ENV:Fault>"
    )


def element(name: str, text: str) -> str:
    """Return an element with a text.

    >>> element("name", "R&D"), element("name", "")
    ('<name>R&amp;D</name>', '<name/>')
    """
    return f"<{name}>{escaped(text)}</{name}>" if text else f"<{name}/>"


def escaped(text: str) -> str:
    r"""Return a text as it stands between tags; what XML forbids is dropped.

    A line ending of two characters would come back as one, so the first is written as a number.

    >>> escaped("a < b\x00\r\n")
    'a &lt; b&#13;\n'
    """
    if is_plain(text):
        return text
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], ""), text)


def is_plain(text: str) -> bool:
    """Tell whether a text stands between tags as it is."""
    return _SPECIAL.search(text) is None


def _fields(wrapper: etree._Element) -> Fields:
    """Return the leaves below an element; what has children of its own is no field."""
    return tuple((local_name(child), _text(child)) for child in wrapper if not len(child))


def _nested(wrapper: etree._Element) -> tuple[Nested, ...]:
    return tuple(
        Nested(local_name(child), _fields(child), _nested(child))
        for child in wrapper
        if len(child) and local_name(child) != "record"
    )


def _text(leaf: etree._Element) -> str:
    if leaf.get(_NIL, "").strip() in ("true", "1"):
        return ""
    return leaf.text or ""


def local_name(node: etree._Element) -> str:
    """Return the name of an element without its namespace."""
    return str(node.tag).rpartition("}")[2]
