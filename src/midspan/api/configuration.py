"""Is what people configured fit to run? Rules, flows, maps, services and connections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

from midspan.api.checks import Check, Examined
from midspan.flow.check import SpokeCatalogue
from midspan.flow.service import checked
from midspan.importsets.maps import load_maps
from midspan.kernel.errors import MidspanError
from midspan.outbound.reach import reach
from midspan.records import Record, RecordTransaction
from midspan.rules import BusinessRules
from midspan.scripting.services import METHODS
from midspan.security import SYSTEM
from midspan_link.errors import LinkError

_PAGE = "/nav/{}/{}"


def rules(examined: Examined) -> Iterator[Check]:
    """Say which active business rules do not run."""
    hooks = (hook for hook in examined.records.hooks if isinstance(hook, BusinessRules))
    problems = list(chain.from_iterable(hook.problems() for hook in hooks))
    for problem in problems:
        hint = f"Correct or deactivate it: {_PAGE.format('sys_script', problem.sys_id)}"
        message = f"{problem.name!r} of {problem.table or 'no table'} does not run"
        yield Check("rules", "failed", f"{message}: {problem.message}", hint)
    if not problems:
        yield Check("rules", "ok", "Every active business rule runs")


def flows(examined: Examined) -> Iterator[Check]:
    """Say which active flows name what does not exist any more."""
    spokes = SpokeCatalogue()
    query = "active=true^status=published^type=flow^ORDERBYname"
    with examined.records.read(SYSTEM) as transaction:
        found = transaction.find("sys_hub_flow", query)
        wrong = 0
        for flow in found:
            try:
                checked(flow.get("definition"), transaction, spokes)
            except MidspanError as error:
                wrong += 1
                hint = error.hint or f"Correct it, then: midspan flow test {flow.get('name')!r}"
                yield Check("flows", "failed", _said(flow, error), hint)
    if not wrong:
        yield Check("flows", "ok", f"{len(found)} active, all can run")


def maps(examined: Examined) -> Iterator[Check]:
    """Say which active transform maps name what does not exist any more."""
    with examined.records.read(SYSTEM) as transaction:
        found = transaction.find("sys_transform_map", "active=true^ORDERBYname")
        wrong = 0
        for staging in sorted({each.get("source_table") for each in found}):
            try:
                transaction.dictionary.table(staging)
                load_maps(transaction, staging)
            except MidspanError as error:
                wrong += 1
                hint = error.hint or "Correct the map, or deactivate it."
                yield Check("maps", "failed", f"From {staging or 'no table'}: {error}", hint)
    if not wrong:
        yield Check("maps", "ok", f"{len(found)} active, all can run")


def services(examined: Examined) -> Iterator[Check]:
    """Say which active resources of Scripted REST services never answer, and why."""
    with examined.records.read(SYSTEM) as transaction:
        found = transaction.find("sys_ws_operation", "active=true^ORDERBYname")
        wrong = [(each, reason) for each in found for reason in _silent(transaction, each)]
        wrong += [(each, "another resource has its path and method") for each in _shadowed(found)]
    for resource, reason in wrong:
        hint = f"Correct or deactivate it: {_PAGE.format('sys_ws_operation', resource.sys_id)}"
        yield Check("services", "warning", f"{resource.get('name')!r}: {reason}", hint)
    if not wrong:
        yield Check("services", "ok", f"{len(found)} resources are active, all can answer")


def connections(examined: Examined) -> Iterator[Check]:
    """Say which connections lead nowhere: incomplete, not allowed, or nobody answers there.

    Only a TCP connection is opened, nothing is sent. What an agent carries is the agent's matter.
    """
    outbound = examined.outbound
    if outbound is None:
        return
    with examined.records.read(SYSTEM) as transaction:
        names = [
            record.get("id") or record.get("name")
            for record in transaction.find("sys_alias", "connection_type!=jdbc_connection")
            if record.get("type") != "credential"
        ]
        names += [
            record.get("name")
            for record in transaction.find("http_connection", "active=true")
            if not record.get("connection_alias")
        ]
    wrong = 0
    for name in sorted(names):
        try:
            reach(outbound, outbound.connection(name))
        except (MidspanError, LinkError) as error:
            wrong += 1
            hint = error.hint or "Check the address, the network between, and the egress rules."
            yield Check("connections", "warning", f"{name}: {error.message}", hint)
    if not wrong:
        yield Check("connections", "ok", f"{len(names)} lead somewhere")


def _silent(transaction: RecordTransaction, resource: Record) -> Iterator[str]:
    """Yield the reasons why a resource does not answer."""
    service = resource.get("web_service_definition")
    definition = transaction.load("sys_ws_definition", (service,)).get(service)
    version_id = resource.get("web_service_version")
    version = transaction.load("sys_ws_version", (version_id,)).get(version_id)
    if definition is None:
        yield "its service does not exist"
    elif definition.get("active") == "false":
        yield f"its service {definition.get('name')!r} is not active"
    if version_id and version is None:
        yield "its version does not exist"
    elif version is not None and version.get("active") == "false":
        yield "its version is not active"
    method = (resource.get("http_method") or "GET").upper()
    if method not in METHODS:
        yield f"{method} is no method that a service answers"
    if not resource.get("operation_script").strip():
        yield "its script is empty"


def _shadowed(resources: list[Record]) -> Iterator[Record]:
    """Yield the resources whose place another one took."""
    places = defaultdict(list)
    for each in resources:
        segments = [part for part in each.get("relative_path").split("/") if part]
        path = tuple("{}" if part.startswith("{") else part for part in segments)
        service = each.get("web_service_definition"), each.get("web_service_version")
        places[(*service, (each.get("http_method") or "GET").upper(), path)].append(each)
    for found in places.values():
        yield from found[1:]


def _said(record: Record, error: MidspanError) -> str:
    lines = (error.detail or error.message).splitlines()
    return f"{record.get('name')!r}: {'; '.join(lines)}"
