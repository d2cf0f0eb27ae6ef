"""What system properties and the address say about the messages of one request."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from midspan.api.request import Pairs, Request, is_true, last_of
from midspan.api.soap.envelope import message
from midspan.api.soap.schema import Rights, is_carried
from midspan.api.tablerequest import Display
from midspan.records import PROPERTIES, Snapshot, settled_access
from midspan.security import Access, Actor

_NAMESPACE = "http://www.service-now.com"
_VIEW, _USUAL_VIEW = "com.glide.soap.view", "soap_response"


class Style(Struct, frozen=True):
    """How messages about a table are named and written."""

    table: str
    namespace: str
    qualified: bool
    """Whether the children of an operation are in its namespace."""
    service: str
    address: str
    """Where messages are sent to."""
    display: Display
    omits_empty: bool = False
    """Whether empty fields have no element."""
    nillable: bool = False
    """Whether the schema lets elements be null."""
    view: str = ""
    """The view that the address names; its fields are the elements of records."""
    standing_view: str = ""
    """The view that counts where none is named and it lays the table out."""

    def answer(self, operation: str, content: str) -> bytes:
        """Return the envelope of an answer; its children are qualified as the WSDL says."""
        name = f"{operation}Response"
        if self.qualified:
            return message(f'<{name} xmlns="{self.namespace}">{content}</{name}>')
        return message(f'<tns:{name} xmlns:tns="{self.namespace}">{content}</tns:{name}>')


def style_of(request: Request, table: str) -> Style:
    """Return the style of a request about a table; clients repeat their addresses."""
    if request.brief:
        return request.snapshot.derive(_style, request.query, request.base_url, table)
    return _style(request.snapshot, request.query, request.base_url, table)


def _style(snapshot: Snapshot, query: Pairs, base_url: str, table: str) -> Style:
    properties: Mapping[str, str] = snapshot.part(PROPERTIES)
    display = display_of(query, properties)
    root = properties.get("com.glide.soap_address_base_url") or base_url
    unique = _is_on(properties, "glide.wsdl.definition.use_unique_namespace")
    named = _is_on(properties, "glide.wsdl.unique_service_name")
    shown = f"displayvalue={display.value}&" if display is not Display.VALUE else ""
    return Style(
        table=table,
        namespace=f"{_NAMESPACE}/{table}" if unique else _NAMESPACE,
        qualified=not _is_on(properties, "glide.wsdl.schema.UnqualifiedElementFormDefault"),
        service=f"ServiceNow_{table}" if named else "ServiceNow",
        address=f"{root.rstrip('/')}/{table}.do?{shown}SOAP",
        display=display,
        omits_empty=is_true(properties.get("glide.soap.omit_null_values", "")),
        nillable=is_true(properties.get("glide.wsdl.show_nillable", "")),
        view=last_of(query, "sysparm_view").strip(),
        standing_view=properties.get(_VIEW, _USUAL_VIEW).strip(),
    )


def display_of(query: Pairs, properties: Mapping[str, str]) -> Display:
    """Return the form of values that the address asks for, else what the property says."""
    wanted = last_of(query, "displayvalue").strip().lower()
    if wanted in ("true", "all", "false"):
        return Display(wanted)
    standing = properties.get("glide.soap.return_displayValue", "").strip().lower()
    return Display(standing) if standing in ("true", "all") else Display.VALUE


def rights_of(request: Request, table: str) -> Rights:
    """Return the fields of a table that the caller may read, and those he may set."""
    records, snapshot = request.parts.records, request.snapshot
    if records.settled(snapshot):
        return snapshot.derive(settled_rights, request.actor, table)
    access = records.access(request.actor, snapshot, request.parts.clock.now())
    return snapshot.derive(_rights, access, table)


def settled_rights(snapshot: Snapshot, actor: Actor, table: str) -> Rights:
    """Return the rights under a snapshot for which ``RecordStore.settled`` holds."""
    return _rights(snapshot, settled_access(snapshot, actor), table)


def _rights(snapshot: Snapshot, access: Access, name: str) -> Rights:
    table = snapshot.dictionary.table(name)
    names = [name for name, field in table.fields.items() if is_carried(field)]
    readable = [name for name in names if access.reaches(table.name, name, "read")]
    return Rights(
        readable=frozenset(readable),
        writable=frozenset(name for name in names if access.reaches(table.name, name, "write")),
        columns=tuple(sorted(readable)),
    )


def _is_on(properties: Mapping[str, str], name: str) -> bool:
    """Tell whether a property that is on by default was not switched off."""
    return properties.get(name, "").strip().lower() != "false"
