"""Scripted SOAP services: ``/{name}.do?SOAP`` runs the script of a record.

Source: ``spec/soap.md`` 8.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping

from lxml import etree

from midspan.api.lane import Lane
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.scriptlane import ScriptLane, Turns
from midspan.api.soap.envelope import (
    CONTENT_TYPE,
    SoapFault,
    element,
    local_name,
    message,
    read_wrapper,
    values_of,
)
from midspan.api.soap.roles import check_scripted
from midspan.api.soap.schema import Element, Messages
from midspan.api.soap.style import style_of
from midspan.formats import JsonValue, xml
from midspan.kernel.errors import MidspanError, NotAuthorized, Unavailable, did_you_mean
from midspan.sandbox import SandboxUnavailable, ScriptError
from midspan.scripting import PerWrite, ScriptRunner
from midspan.scripting.soapservices import SOAP_SERVICES, SoapService, call_service
from midspan_link.logs import redact

OPERATION = "execute"
_CUSTOM = "soapResponseElement"
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_DEEPEST = 32
_log = logging.getLogger("midspan.script")


class ScriptedSoap:
    """What runs the scripts, in threads of their own: a slow one holds up no other request."""

    def __init__(
        self,
        runner: ScriptRunner,
        *,
        threads: int = 2,
        waiting: int = 64,
        turns: Turns | None = None,
    ) -> None:
        self.runner = runner
        self.lane = ScriptLane(threads, waiting, turns)

    def close(self) -> None:
        """Finish what runs and stop the threads."""
        self.lane.close()


def service_of(request: Request) -> SoapService | None:
    """Return the service that a path names; a table of the same name goes before it."""
    name = request.arguments["table"]
    if name in request.snapshot.dictionary:
        return None
    return request.snapshot.part(SOAP_SERVICES).get(name)


def lane_of(request: Request) -> Lane | None:
    """Return the threads that a call belongs to; None: those of all requests."""
    scripted = request.parts.scripted_soap
    return scripted.lane if scripted is not None and service_of(request) is not None else None


def service_messages(service: SoapService) -> Messages:
    """Return the messages of a service, as its parameters declare them."""
    return Messages(
        requests={OPERATION: tuple(map(Element, service.inputs))},
        answers={OPERATION: tuple(map(Element, service.outputs))},
    )


def called(request: Request, service: SoapService) -> Response:
    """Run a service for an envelope and answer what its script set.

    Raises:
        SoapFault, MidspanError: it could not be called, or its script failed.
    """
    wrapper = read_wrapper(request.body)
    operation = local_name(wrapper)
    if operation != OPERATION and not service.wsdl:
        raise SoapFault(
            f"Unsupported action: {operation[:80]}",
            did_you_mean(operation, (OPERATION,)) or f"Known: {OPERATION}.",
            code="Client",
        )
    try:
        check_scripted(request)
    except NotAuthorized as error:
        reason = error.detail or error.message
        raise SoapFault(f"Insufficient rights to execute {service.name}", reason) from error
    found = _run(request, service, wrapper)
    custom = found.get(_CUSTOM)
    if custom:
        return _custom(str(custom))
    content = "".join(_elements(_answered(service, found), _DEEPEST))
    return Response(200, style_of(request, service.name).answer(operation, content), CONTENT_TYPE)


def _run(
    request: Request, service: SoapService, wrapper: etree._Element
) -> Mapping[str, JsonValue]:
    scripted = request.parts.scripted_soap
    if scripted is None:
        raise Unavailable("Scripts are not available here")
    envelope = etree.tostring(wrapper.getroottree(), encoding="unicode")
    unit = PerWrite(request.parts.records, request.actor)
    try:
        return call_service(scripted.runner, service, unit, values_of(wrapper), envelope)
    except SandboxUnavailable:
        raise
    except ScriptError as error:
        _log.error("%s", error, extra={"script": error.script, "line": error.line})
        raise SoapFault(redact(error.message), error.detail or "") from error


def _answered(service: SoapService, found: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Return what is sent: what the script set, or of that what is declared, in that order."""
    if not service.compliant:
        return {name: value for name, value in found.items() if name != _CUSTOM}
    return {name: found[name] for name in service.outputs if name in found}


def _elements(values: Mapping[str, JsonValue], levels: int) -> Iterator[str]:
    """Yield an element for each value; a list repeats its element, an object has elements."""
    for name, value in values.items():
        if _NAME.fullmatch(name) is None or levels == 0:
            raise SoapFault(
                f"response.{name[:80]} cannot be an element",
                "Names of elements have letters, digits, '_', '-' and '.'; at most 32 levels.",
            )
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield f"<{name}>{''.join(_elements(one, levels - 1))}</{name}>"
            else:
                yield element(name, _text(one))


def _text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _custom(text: str) -> Response:
    """Answer an element that a script made whole; a fault of its own has the status of one."""
    try:
        root = xml.parse(text.encode())
    except MidspanError as error:
        raise SoapFault(f"response.{_CUSTOM} is no element: {error.message}") from error
    content = etree.tostring(root, encoding="unicode")
    status = 500 if local_name(root) == "Fault" else 200
    return Response(status, message(content), CONTENT_TYPE)
