"""The endpoint: an envelope comes in, its operation is carried out, an answer or fault goes out."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping

from midspan.api.errors import on_the_wire, unexpected
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.soap import reading, writing
from midspan.api.soap.envelope import (
    CONTENT_TYPE,
    Call,
    SoapFault,
    fault_message,
    read_call,
)
from midspan.api.soap.roles import check_operation
from midspan.api.soap.schema import OPERATIONS
from midspan.api.soap.scripted import called, service_of
from midspan.api.soap.style import Style, style_of
from midspan.api.soap.wssecurity import REQUIRED, secured
from midspan.kernel.errors import (
    AccessDenied,
    Conflict,
    DuplicateKey,
    InvalidRequest,
    MidspanError,
    NotFound,
    OperationAborted,
    did_you_mean,
)

log = logging.getLogger(__name__)
_ABORTED = "com.glide.processors.soap.SOAPProcessingException"
"""What the vendor's text of a refused write begins with; clients look for it."""
_AT_ONCE = 4_000
"""Bytes of an envelope that is read on the event loop."""
_GET = re.compile(rb"[<:]get[\s/>]")
_Carry = Callable[[Request, Style, Call], str | writing.Several]
_CARRIED: Mapping[str, _Carry] = {
    "aggregate": reading.aggregate,
    "deleteMultiple": writing.delete_multiple,
    "deleteRecord": writing.delete_record,
    "get": reading.get,
    "getKeys": reading.get_keys,
    "getRecords": reading.get_records,
    "insert": writing.insert,
    "insertMultiple": writing.insert_multiple,
    "update": writing.update,
}
_VERBS = {
    "insert": ("insert", "into"),
    "insertMultiple": ("insert", "into"),
    "update": ("update", "in"),
    "deleteRecord": ("delete", "from"),
    "deleteMultiple": ("delete", "from"),
}


def soap_answer(request: Request) -> Response:
    """Carry out the operation of an envelope; whatever goes wrong is a SOAP fault."""
    operation = ""
    try:
        _check_type(request)
        request = secured(request)
        service = service_of(request)
        if service is not None:
            return called(request, service)
        call = read_call(request.body)
        operation = call.operation
        return Response(200, _carried(request, call), CONTENT_TYPE)
    except SoapFault as fault:
        return _refused(fault)
    except MidspanError as error:
        log.info("refused", extra={"code": error.code, "reason": error.explain()})
        return _refused(_fault(error, request.arguments["table"], operation))
    except Exception:
        log.exception("unexpected error", extra={"path": request.path})
        defect = unexpected(request.id)
        return _refused(SoapFault(defect.message, defect.detail or ""))


def soap_get_at_once(request: Request) -> Response | None:
    """Answer a ``get`` of stored values on the event loop, from a database in this process.

    Whatever would be a fault, or is more work than that, is left to ``soap_answer`` in a thread.
    """
    small = len(request.body) <= _AT_ONCE and _GET.search(request.body) is not None
    if not small or not request.parts.records.prompt:
        return None
    try:
        if request.property_flag(REQUIRED):  # a token is checked in a thread
            return None
        _check_type(request)
        call = read_call(request.body)
        if call.operation != "get":
            return None
        style = style_of(request, request.arguments["table"])
        check_operation(request, style.table, call.operation)
        content = reading.get_at_once(request, style, call)
    except Exception:  # soap_answer meets it again and makes a fault of it
        return None
    if content is None:
        return None
    return Response(200, style.answer(call.operation, content), CONTENT_TYPE)


def _carried(request: Request, call: Call) -> bytes:
    carry = _CARRIED.get(call.operation)
    if carry is None:
        raise SoapFault(
            f"Unsupported action: {call.operation[:80]}",
            did_you_mean(call.operation, OPERATIONS) or f"Known: {', '.join(OPERATIONS)}.",
            code="Client",
        )
    style = style_of(request, request.arguments["table"])
    check_operation(request, style.table, call.operation)
    content = carry(request, style, call)
    if isinstance(content, writing.Several):
        return style.answer("multiInsert", content.content)
    return style.answer(call.operation, content)


def _check_type(request: Request) -> None:
    """Refuse a body that does not call itself XML, where the instance asks for that."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/xml" and request.property_flag("glide.soap.require_content_type_xml"):
        raise SoapFault(
            "Unsupported content type", "Send the header Content-Type: text/xml.", code="Client"
        )


def _refused(fault: SoapFault) -> Response:
    return Response(500, fault_message(fault), CONTENT_TYPE)


def _fault(error: MidspanError, table: str, operation: str) -> SoapFault:
    wire = on_the_wire(error)
    reason = " ".join(part for part in (wire.message, wire.detail) if part)
    match error:
        case AccessDenied():
            verb, where = _VERBS.get(operation, ("query", "from"))
            return SoapFault(f"Insufficient rights to {verb} records {where} {table}", reason)
        case OperationAborted() | DuplicateKey() | Conflict() if operation in _VERBS:
            verb = _VERBS[operation][0]
            text = f"{_ABORTED}: {verb.title()} Aborted : Error during {verb} of {table}"
            return SoapFault(text, f"{text}: {reason}")
        case InvalidRequest() | NotFound():
            return SoapFault(wire.message, reason, code="Client")
    return SoapFault(wire.message, reason)
