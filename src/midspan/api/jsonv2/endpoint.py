"""The processors of JSONv2; whatever is refused as a whole is told in its own form of error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from midspan.api.errors import error_headers, on_the_wire
from midspan.api.jsonv2 import reading, writing
from midspan.api.jsonv2.call import KNOWN, Call, read_call
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.strict import refuse_in_strict_mode, warning_header
from midspan.kernel.errors import MidspanError

log = logging.getLogger(__name__)
_READ: Mapping[str, Callable[[Request, Call], Response]] = {
    "get": reading.records,
    "getRecords": reading.records,
    "getKeys": reading.keys,
}
_WRITE: Mapping[str, Callable[[Request, Call, writing.Warnings], writing.Shown]] = {
    "insert": writing.insert,
    "insertMultiple": writing.insert,
    "update": writing.update,
    "deleteRecord": writing.delete_record,
    "deleteMultiple": writing.delete_multiple,
}


def jsonv2_answer(request: Request) -> Response:
    """Carry out the action of a request."""
    try:
        call = read_call(request)
        read = _READ.get(call.action)
        return read(request, call) if read else _written(request, call)
    except MidspanError as error:
        log.info("refused", extra={"code": error.code, "reason": error.explain()})
        wire = on_the_wire(error)
        told = {"error": wire.message, "reason": wire.detail}
        return json_response(told, wire.status, error_headers(error))


def _written(request: Request, call: Call) -> Response:
    warnings = list(call.warnings)
    refuse_in_strict_mode(request, warnings, KNOWN)
    records = _WRITE[call.action](request, call, warnings)
    return json_response({"records": records}, 200, warning_header(warnings))
