"""What the messages about a table look like: the elements of each operation, their types. Pure.

The same tables of elements make the WSDL and the answers, so what is sent fits what is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from midspan.api.soap.envelope import element, escaped, is_plain
from midspan.api.tablerequest import Display
from midspan.api.tableview import is_journal
from midspan.dictionary import Field, Storage, Table
from midspan.importsets.pushed import is_staging

OPERATIONS = (
    "aggregate",
    "deleteMultiple",
    "deleteRecord",
    "get",
    "getKeys",
    "getRecords",
    "insert",
    "insertMultiple",
    "update",
)
CONTROLS = (
    "__encoded_query",
    "__exclude_columns",
    "__first_row",
    "__last_row",
    "__limit",
    "__order_by",
    "__order_by_desc",
    "__use_view",
)
FUNCTIONS = ("AVG", "COUNT", "MAX", "MIN", "SUM")
SYSTEM = frozenset(
    {
        "sys_class_name",
        "sys_created_by",
        "sys_created_on",
        "sys_domain",
        "sys_domain_path",
        "sys_id",
        "sys_mod_count",
        "sys_tags",
        "sys_updated_by",
        "sys_updated_on",
    }
)
"""What inserts and updates do not set."""
IMPORTED = (
    "sys_id",
    "table",
    "display_name",
    "display_value",
    "status",
    "status_message",
    "error_message",
)
_STRING = "xsd:string"
_TYPES = {
    Storage.BOOLEAN: "xsd:boolean",
    Storage.INTEGER: "xsd:integer",
    Storage.DECIMAL: "xsd:decimal",
}


class Element(Struct, frozen=True):
    """One element of a message."""

    name: str
    type: str = _STRING
    required: bool = False
    repeated: bool = False
    parts: tuple[Element, ...] = ()
    """For an element of elements."""


class Rights(Struct, frozen=True):
    """The fields of a table that somebody may read and set."""

    readable: frozenset[str]
    writable: frozenset[str]
    columns: tuple[str, ...] = ()
    """What may be read, in the order in which it is sent: that of the alphabet."""


class Messages(Struct, frozen=True):
    """Request and answer of each operation."""

    requests: Mapping[str, tuple[Element, ...]]
    answers: Mapping[str, tuple[Element, ...]]


def messages_of(table: Table, rights: Rights, display: Display) -> Messages:
    """Return the messages about a table for somebody with these rights."""
    readable = [table.fields[name] for name in sorted(rights.readable)]
    shown = tuple(columns(readable, display))
    asked = tuple(Element(field.name, type_of(field, display)) for field in readable)
    controls = tuple(Element(name) for name in CONTROLS)
    settable = tuple(
        Element(field.name, type_of(field, display), required=field.mandatory)
        for name in sorted(rights.writable - SYSTEM)
        if (field := table.fields[name])
    )
    changeable = tuple(Element(each.name, each.type) for each in settable)
    one = (Element("sys_id", required=True), Element("__exclude_columns"), Element("__use_view"))
    inserted = inserted_elements(table)
    count = (Element("count", "xsd:integer"),)
    functions = tuple(Element(name) for name in FUNCTIONS)
    return Messages(
        requests={
            "aggregate": (
                *functions,
                Element("GROUP_BY", repeated=True),
                Element("HAVING", repeated=True),
                *asked,
                Element("__encoded_query"),
            ),
            "deleteMultiple": (*asked, Element("__encoded_query")),
            "deleteRecord": (Element("sys_id", required=True),),
            "get": one,
            "getKeys": (*asked, *controls),
            "getRecords": (*asked, *controls),
            "insert": settable,
            "insertMultiple": (Element("record", repeated=True, parts=settable),),
            "update": (*changeable, Element("sys_id", required=True)),
        },
        answers={
            "aggregate": (
                Element("aggregateResult", repeated=True, parts=(*functions, *_texts(shown))),
            ),
            "deleteMultiple": count,
            "deleteRecord": count,
            "get": shown,
            "getKeys": (Element("sys_id"), *count),
            "getRecords": (Element("getRecordsResult", repeated=True, parts=shown),),
            "insert": inserted,
            "insertMultiple": (Element("insertResponse", repeated=True, parts=inserted),),
            "update": (Element("sys_id"),),
        },
    )


def columns(fields: Iterable[Field], display: Display) -> Iterable[Element]:
    """Yield the elements of a row, in the order in which they are sent: that of the alphabet."""
    for field in fields:
        yield Element(field.name, type_of(field, display))
        if display is Display.BOTH and has_twin(field):
            yield Element(f"dv_{field.name}")


def is_carried(field: Field) -> bool:
    """Tell whether messages have a field at all: it has values, or takes entries."""
    return field.storage is not Storage.NONE or is_journal(field)


def has_twin(field: Field) -> bool:
    """Tell whether ``displayvalue=all`` adds an element with what people see of a field."""
    return field.kind.reference or field.kind.multiple or bool(field.choices)


def type_of(field: Field, display: Display) -> str:
    """Return the type of a field's values; what people see of them is always text."""
    return _STRING if display is Display.SHOWN else _TYPES.get(field.storage, _STRING)


def inserted_elements(table: Table) -> tuple[Element, ...]:
    """Return the answer to an insert: the id, and how people call the record.

    Of a staging table it is about the record that the row became.
    """
    if is_staging(table):
        return tuple(map(Element, IMPORTED))
    named = (Element(table.display),) if table.display != "sys_id" else ()
    return (Element("sys_id"), *named)


def value_element(item: Element, text: str) -> str:
    """Return a stored value as an element that fits its type.

    Booleans are sent as 1 and 0. An empty number is no number, so its element is left out.

    >>> value_element(Element("active", "xsd:boolean"), "true")
    '<active>1</active>'
    >>> value_element(Element("order", "xsd:integer"), ""), value_element(Element("name"), "")
    ('', '<name/>')
    """
    if item.type == "xsd:boolean" and text:
        return f"<{item.name}>{1 if text == 'true' else 0}</{item.name}>"
    return shown_element(item, text)


class RowWriter:
    """Writes ``value_element`` of each column, for many rows with the same columns.

    >>> write = RowWriter([Element("active", "xsd:boolean"), Element("name")])
    >>> write.row({"active": "true", "name": "R&D"}), write.row({"name": ""})
    ('<active>1</active><name>R&amp;D</name>', '<name/>')
    """

    def __init__(self, items: Sequence[Element]) -> None:
        self._parts = [
            (item.name, f"<{item.name}>", f"</{item.name}>", value_element(item, ""))
            for item in items
        ]
        self._booleans = [item.name for item in items if item.type == "xsd:boolean"]

    def row(self, row: dict[str, str]) -> str:
        """Return the elements of a row; a column that it does not have has none."""
        values = row.copy()
        if not is_plain("".join(row.values())):  # one search for all, since most rows are plain
            values = {name: escaped(text) for name, text in row.items()}
        for name in self._booleans:
            if text := row.get(name):
                values[name] = "1" if text == "true" else "0"
        return "".join(
            [
                f"{start}{text}{end}" if text else empty
                for name, start, end, empty in self._parts
                if (text := values.get(name)) is not None
            ]
        )


def shown_element(item: Element, text: str) -> str:
    """Return what people see of a value; clients made from the plain WSDL read it, too."""
    return element(item.name, text) if text or item.type == _STRING else ""


def _texts(elements: Iterable[Element]) -> Iterable[Element]:
    return (Element(each.name) for each in elements)
