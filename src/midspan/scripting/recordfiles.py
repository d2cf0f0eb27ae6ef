"""Scripts in files of records: update sets and exported records as XML."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree
from msgspec import Struct

from midspan.formats import xml

LARGEST = 256 * 1024 * 1024
"""Bytes of a file; those of a large application have some tens of millions."""
_UPDATES = "sys_update_xml"
_MARKS = (b"<unload", b"<record_update", b"<sys_update_xml")
_HEAD = 4096
_ROOTS = frozenset({"unload", "record_update", "update"})
_NAMES = ("name", "api_name", "title", "element", "source_field", "sys_name")
_SUFFIX = "_script"
_CONDITION = ("sys_script", "condition")


class RecordScript(Struct, frozen=True):
    """A script of a record in a file."""

    table: str
    name: str
    """What the record is called, else its sys_id."""
    sys_id: str
    field: str
    text: str

    @property
    def title(self) -> str:
        """How it is called in reports; the field counts where it is not ``script``."""
        field = "" if self.field == "script" else f".{self.field}"
        return f"{self.table} {self.name or self.sys_id}{field}"


def holds_records(data: bytes) -> bool:
    """Tell whether a file looks like records, by its beginning."""
    return any(mark in data[:_HEAD] for mark in _MARKS)


def record_scripts(data: bytes) -> list[RecordScript]:
    """Return the scripts of an update set or of exported records, in their order.

    Nothing for a file of another kind. What an update set deletes is left out.

    >>> record_scripts(b"<unload><sys_script action='INSERT_OR_UPDATE'>"
    ...     b"<name>A</name><script>var a;</script></sys_script></unload>")[0].title
    'sys_script A'

    Raises:
        XmlError: it is no XML, or one of its updates is none.
        LimitExceeded: it has more than 256 MiB.
    """
    root = xml.parse(data, max_bytes=LARGEST)
    return list(_found(root)) if root.tag in _ROOTS else []


def _found(root: etree._Element) -> Iterator[RecordScript]:
    for record in root:
        if record.get("action") == "DELETE":
            continue
        if record.tag != _UPDATES:
            yield from _scripts(record)
        elif payload := (record.findtext("payload") or "").strip():
            inner = xml.parse(payload.encode(), max_bytes=LARGEST)
            yield from _found(inner)


def _scripts(record: etree._Element) -> Iterator[RecordScript]:
    table = str(record.tag)
    sys_id = (record.findtext("sys_id") or "").strip()
    names = ((record.findtext(name) or "").strip() for name in _NAMES)
    name = next(filter(None, names), "")
    for field in record:
        tag, text = str(field.tag), field.text or ""
        scripted = tag == "script" or tag.endswith(_SUFFIX) or (table, tag) == _CONDITION
        if scripted and text.strip() and not len(field):
            yield RecordScript(table, name, sys_id, tag, text)
