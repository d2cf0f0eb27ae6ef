"""Addresses of Scripted REST services, kept in their records for those who look them up.

The paths that answer follow from the services themselves (``services``); these columns say the
same: ``base_uri`` of a service, ``operation_uri`` and ``default_operation_uri`` of a resource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from midspan.dictionary import Table
from midspan.query import Query
from midspan.records import PROPERTIES, Draft, Operation, Record, RecordTransaction, update

DEFINITIONS = "sys_ws_definition"
VERSIONS = "sys_ws_version"
RESOURCES = "sys_ws_operation"
_NO_NAMESPACE = "global"


class ServiceAddresses:
    """A ``RecordHook`` of services, their versions and their resources."""

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Take what is written to those tables."""
        return table.name in (DEFINITIONS, VERSIONS, RESOURCES) and (
            operation is not Operation.DELETE
        )

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Fill the addresses in, once other rules have had their say."""
        if not late:
            return
        if draft.table.name == DEFINITIONS:
            if draft.operation is Operation.INSERT and not draft.get("service_id"):
                draft.set("service_id", _id_of(draft.get("name")))
            moved = draft.changed("namespace") or draft.changed("service_id")
            if not draft.get("base_uri") or (moved and not draft.changed("base_uri")):
                draft.set("base_uri", _base(transaction, draft.values))
        elif draft.table.name == RESOURCES:
            own, default = _addresses(transaction, draft.values)
            draft.set("operation_uri", own)
            draft.set("default_operation_uri", default)

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Bring the resources in line with a service or a version that changed."""
        if draft.operation is Operation.INSERT or draft.table.name == RESOURCES:
            return
        if draft.table.name == DEFINITIONS:
            changed = draft.changed("base_uri") or draft.changed("default_version")
            column = "web_service_definition"
        else:
            changed = any(map(draft.changed, ("version_id", "version", "is_default")))
            column = "web_service_version"
        if not changed:
            return
        with transaction.unrestricted():
            for resource in transaction.find(RESOURCES, f"{column}={draft.sys_id}"):
                own, default = _addresses(transaction, resource.values)
                values = {"operation_uri": own, "default_operation_uri": default}
                transaction.apply(update(RESOURCES, resource.sys_id, values))

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries as they are."""
        return query


def _id_of(name: str) -> str:
    """Return the id that a service has by its name."""
    return "_".join(re.findall(r"[a-z0-9]+", name.lower()))


def _base(transaction: RecordTransaction, definition: Mapping[str, str]) -> str:
    """Return ``/api/<namespace>/<id>`` of a service."""
    properties = transaction.snapshot.part(PROPERTIES)
    code = properties.get("glide.appcreator.company.code") or _NO_NAMESPACE
    name = definition.get("service_id") or definition["sys_id"]
    return f"/api/{definition.get('namespace') or code}/{name}"


def _addresses(transaction: RecordTransaction, resource: Mapping[str, str]) -> tuple[str, str]:
    """Return the address of a resource, and that without a version where its version answers so."""
    definition = _found(transaction, DEFINITIONS, resource.get("web_service_definition", ""))
    if definition is None:
        return "", ""
    base = (definition.get("base_uri") or _base(transaction, definition.values)).rstrip("/")
    path = f"/{resource.get('relative_path', '').strip('/')}".rstrip("/")
    version = _found(transaction, VERSIONS, resource.get("web_service_version", ""))
    if version is None:
        return base + path, ""
    head, _, service = base.rpartition("/")
    label = version.get("version_id") or f"v{version.get('version') or 1}"
    named = definition.get("default_version")
    default = version.sys_id == named if named else version.get("is_default") == "true"
    return f"{head}/{label}/{service}{path}", base + path if default else ""


def _found(transaction: RecordTransaction, table: str, sys_id: str) -> Record | None:
    return transaction.load(table, (sys_id,)).get(sys_id) if sys_id else None
