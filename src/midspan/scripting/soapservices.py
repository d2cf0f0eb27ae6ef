"""Scripted SOAP services as records define them, and one call of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.records import SnapshotPart
from midspan.sandbox import JsonValue, Script
from midspan.scripting.runner import ScriptRunner
from midspan.scripting.unit import Unit
from midspan.storage import Statements, Transaction
from midspan.storage.catalog import columns_of

_TABLES = frozenset(
    {
        "sys_web_service",
        "sys_web_service_input",
        "sys_web_service_output",
        "sys_web_service_wsdl",
    }
)


class SoapService(Struct, frozen=True, kw_only=True):
    """One active service."""

    sys_id: str
    name: str
    text: str
    compliant: bool = False
    """Whether answers hold the declared outputs alone, in their order."""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    wsdl: str = ""
    """The WSDL that is shown instead of the one made from inputs and outputs."""

    @property
    def script(self) -> Script:
        """The script under the name that errors report; its value is what it set."""
        return Script(f"sys_web_service.{self.sys_id}.script", f"{self.text}\n;response")


def load_soap_services(transaction: Transaction, _: Dictionary) -> Mapping[str, SoapService]:
    """Read all active services by name; the first of one name counts."""
    # An upgrade reads the dictionary of the new release before it has made the new tables.
    if not all(columns_of(transaction, table) for table in _TABLES):
        return {}
    sql = Statements("midspan.scripting", "soapservices", transaction.dialect)
    inputs = _names(transaction, sql["inputs"])
    outputs = _names(transaction, sql["outputs"])
    fixed = {str(name): str(text or "") for name, text in transaction.rows(sql["documents"])}
    found: dict[str, SoapService] = {}
    active = (transaction.dialect.name != "sqlite" or 1,)
    for sys_id, name, text, compliant in transaction.rows(sql["services"], active):
        service = SoapService(
            sys_id=sys_id,
            name=name,
            text=text or "",
            compliant=bool(compliant),
            inputs=inputs.get(sys_id, ()),
            outputs=outputs.get(sys_id, ()),
            wsdl=fixed.get(name, ""),
        )
        found.setdefault(name, service)
    return found


SOAP_SERVICES = SnapshotPart(
    "soap_services",
    _TABLES,
    load_soap_services,
)
"""The scripted SOAP services; registered with the ``SnapshotHolder`` of the instance."""


def call_service(
    runner: ScriptRunner,
    service: SoapService,
    unit: Unit,
    parameters: Mapping[str, JsonValue],
    envelope: str,
) -> Mapping[str, Any]:
    """Run a service for one call; return what its script set on ``response``, in that order.

    Raises:
        ScriptError: the script failed, or a limit was reached.
        SandboxUnavailable: no worker was free in time.
    """
    variables: dict[str, JsonValue] = {
        "request": dict(parameters),
        "response": {},
        "soapRequestXML": envelope,
    }
    value = runner.run(service.script, variables, unit=unit)
    return value if isinstance(value, dict) else {}


def _names(transaction: Transaction, sql: str) -> dict[str, tuple[str, ...]]:
    """Return the names of parameters in their order, by the id of the service."""
    found: dict[str, tuple[str, ...]] = {}
    for service, name in transaction.rows(sql):
        found[service] = (*found.get(service, ()), name)
    return found
