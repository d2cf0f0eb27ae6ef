"""Records inserted with the records that belong to them, as elements inside the elements.

An element is named after the table of such a record; what refers to the outer record is the one
field of that table which can. Source: ``spec/soap.md`` 1 and 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from midspan.api.request import Request
from midspan.api.soap.envelope import Fields, Nested, SoapFault
from midspan.api.tableread import open_table
from midspan.dictionary import Table
from midspan.records import Change, RecordTransaction

SWITCH = "glide.web_service.hierarchical"
DEEPEST = 3
_MOST = "glide.wsdl.maximum_hierarchy"
Insertion = Callable[[Table, Fields], Change]
"""Makes the change that inserts a record with these fields."""


def is_hierarchical(request: Request) -> bool:
    """Tell whether nested elements are records; the address goes before the property."""
    asked = request.parameter("hierarchical").strip().lower()
    return asked == "true" if asked else request.property_flag(SWITCH)


def deepest(request: Request) -> int:
    """Return how deep records may be nested: what the property says, three at most."""
    text = request.property(_MOST).strip()
    return min(int(text), DEEPEST) if text in ("0", "1", "2", "3") else DEEPEST


def insert_nested(
    request: Request,
    transaction: RecordTransaction,
    outer: tuple[str, str],
    nested: Sequence[Nested],
    insertion: Insertion,
    *,
    level: int = 1,
) -> None:
    """Insert what belongs to a record, given as table and id, and what belongs to that.

    Raises:
        InvalidTable: an element is named after no table.
        SoapFault: no field that the caller may set refers to the outer record, or several do.
        NotAuthorized: the caller may not insert such a record.
    """
    if nested and level > deepest(request):
        raise SoapFault(f"Records are nested more than {deepest(request)} deep", code="Client")
    for one in nested:
        table = open_table(request.snapshot, one.name)
        field = _link(transaction, table, outer[0])
        fields = (*(pair for pair in one.fields if pair[0] != field), (field, outer[1]))
        made = transaction.apply(insertion(table, fields))
        inner = (made.table, made.sys_id)
        insert_nested(request, transaction, inner, one.nested, insertion, level=level + 1)


def _link(transaction: RecordTransaction, table: Table, outer: str) -> str:
    """Return the field that refers to records of the outer table; one made for it goes first."""
    dictionary, access = transaction.dictionary, transaction.access
    found = {
        field.name: field.reference or ""
        for field in table.fields.values()
        if field.kind.reference and field.reference and dictionary.is_a(outer, field.reference)
        if access.field(table.name, field.name, "create")
    }
    exact = [name for name, reference in found.items() if reference == outer]
    names = exact or sorted(found)
    if len(names) != 1:
        known = (
            f"These do: {', '.join(names)}." if names else "No field of it that you may set does."
        )
        raise SoapFault(f"{table.name} must refer to {outer} with one field", known, code="Client")
    return names[0]
