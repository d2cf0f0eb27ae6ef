"""What ``/{table}.do`` is asked for by a word of its query: WSDL, SOAP, CSV, JSONv2 and others.

Source: ``spec/soap.md`` 1, ``spec/rest-api.md`` 7.7 and 7.8. The order of words does not matter.
Where none of them is there, a processor that is a script may answer: see ``servlets``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from midspan.api import exports
from midspan.api.description import (
    ANYTHING,
    BOTH,
    FLAG,
    JSON,
    NUMBER,
    TEXT,
    Answer,
    Body,
    Description,
    members,
    query,
    segment,
)
from midspan.api.errors import UnknownPage
from midspan.api.exports.endpoint import XLSX
from midspan.api.jsonv2 import jsonv2_answer
from midspan.api.lane import Lane
from midspan.api.request import Identity, Request
from midspan.api.response import Response
from midspan.api.router import Route, SignedIn, Turnstile
from midspan.api.servlets import lane_of as servlet_lane
from midspan.api.servlets import processor_of
from midspan.api.soap.endpoint import soap_answer, soap_get_at_once
from midspan.api.soap.guest import soap_guest
from midspan.api.soap.scripted import lane_of
from midspan.api.soap.wsdl import schema_answer, wsdl_answer
from midspan.api.table import STRICT

_PATH = "/{table}.do"
_Processor = Callable[[Request], Response]
_SHOWN: Mapping[str, _Processor] = {
    "wsdl": wsdl_answer,
    "xsd": schema_answer,
    "schema": schema_answer,
    "json": jsonv2_answer,
    "jsonv2": jsonv2_answer,
    **exports.PROCESSORS,
}
"""What answers GET, by the word of the query in small letters."""
_CALLED: Mapping[str, _Processor] = {
    "json": jsonv2_answer,
    "jsonv2": jsonv2_answer,
    "soap": soap_answer,
}
"""What answers POST."""


def processor_routes(turns: Turnstile) -> tuple[Route, ...]:
    """Return the routes of what a table offers beside the REST interfaces.

    ``turns`` decides when a SOAP call is carried out.
    """
    return (
        Route(
            name="processor.show",
            methods=("GET",),
            path=_PATH,
            handler=show,
            access=SignedIn(guest=_guest),
            lane=servlet_lane,
            description=_SHOW,
        ),
        Route(
            name="processor.call",
            methods=("POST",),
            path=_PATH,
            handler=carry_out,
            at_once=carry_out_at_once,
            turnstile=turns,
            access=SignedIn(guest=_guest),
            lane=_lane_of,
            form_token=True,
            description=_CALL,
        ),
    )


_TEXT_XML = "text/xml"
_FILES = (_TEXT_XML, "text/plain", "text/csv", XLSX, JSON)
_TABLE = segment("table", "Name of the table.", {"type": "string", "minLength": 1})
_DISPLAY = query(
    "displayvalue", "true: what people see instead of what is stored; all: both of them."
)
_ACTION = query("sysparm_action", "JSONv2: what is done; the same member of the body wins.")
_QUERY = query("sysparm_query", "Encoded query.")
_ONE = query("sysparm_sys_id", "Id of the only record that is wanted.")
_JSON = query("JSONv2", "Asks for, or sends, JSON; so does JSON.")
_VARIABLES = query("displayvariables", "JSONv2: answers to questions of the catalogue.", FLAG)
_REFUSED = Answer(
    "Refused; JSONv2 has its own form of errors.",
    members(("error",), error={"type": ["object", "string"]}, reason={"type": ["string", "null"]}),
    BOTH,
)
_SHOW = Description(
    summary="Read a table as a file (?CSV, ?XLSX, ?XML, ?JSONv2), its WSDL, or its XML schema",
    tag="Processors",
    parameters=(
        _TABLE,
        query("WSDL", "Asks for the WSDL."),
        query("XSD", "Asks for the schema alone; so does SCHEMA."),
        query("CSV", "Asks for a CSV file."),
        query("XLSX", "Asks for a workbook; so do EXCEL and XLS."),
        query("XML", "Asks for XML."),
        query("UNL", "Asks for XML in unload form."),
        _JSON,
        _DISPLAY,
        _VARIABLES,
        _ACTION,
        _QUERY,
        _ONE,
        query("sys_id", "Id of the only record that is exported."),
        query("sysparm_orderby", "A field to sort by, behind those of the query."),
        query("sysparm_record_count", "Most rows of the answer.", NUMBER),
        query("sysparm_view", "View whose columns are shown; sysparm_fields wins."),
        query("sysparm_fields", "Columns of an export, with commas between."),
        query("sysparm_default_export_fields", "all: every column of the table."),
        query("sysparm_display_value", "Exports: what people see, or what is stored.", FLAG),
        query("sysparm_export_column_header_label", "Head columns with labels or names.", FLAG),
        query("useUnloadFormat", "XML in unload form.", FLAG),
        STRICT,
    ),
    answers={
        200: Answer("The file.", None, _FILES, ("X-Midspan-Warning",)),
        **dict.fromkeys((400, 403, 404, 405), _REFUSED),
    },
)
_CALL = Description(
    summary="Carry out a SOAP operation (?SOAP) or a JSONv2 action (?JSONv2) on a table",
    tag="Processors",
    parameters=(
        _TABLE,
        query("SOAP", "Says that the body is a SOAP envelope."),
        query("redirectSupported", "SOAP, true: 307 is followed where a call takes long.", FLAG),
        query("allow_empty_value", "SOAP, true: empty elements empty their fields."),
        query("hierarchical", "SOAP, true: elements inside an insert are records of its own."),
        _JSON,
        _ACTION,
        _QUERY,
        _ONE,
        query("sysparm_record_scope", "Taken and not used."),
        _DISPLAY,
        _VARIABLES,
        STRICT,
    ),
    body=Body(ANYTHING, (_TEXT_XML, JSON)),
    answers={
        200: Answer(
            "The answer of the operation or action.",
            None,
            (_TEXT_XML, JSON),
            ("X-Midspan-Warning",),
        ),
        202: Answer("SOAP: too many calls of the session wait.", TEXT, ("text/plain",)),
        307: Answer("SOAP: send it again, with the cookies.", None, (), ("Location",)),
        **dict.fromkeys((408, 429, 500), Answer("A SOAP fault.", TEXT, (_TEXT_XML,))),
        **dict.fromkeys((400, 403, 404, 415), _REFUSED),
    },
)


def show(request: Request) -> Response:
    """Answer the document that the query names.

    Raises:
        UnknownPage: it names none.
    """
    return _answered(request, _SHOWN)


def carry_out(request: Request) -> Response:
    """Carry out what the body asks for.

    Raises:
        UnknownPage: the query does not say what the body is.
    """
    return _answered(request, _CALLED)


def _answered(request: Request, processors: Mapping[str, _Processor]) -> Response:
    processor = processors.get(_word(request, processors))
    if processor is not None:
        return processor(request)
    scripted, servlets = processor_of(request), request.parts.servlets
    if scripted is None or servlets is None:
        raise UnknownPage
    return servlets.process(request, scripted)


def _word(request: Request, processors: Mapping[str, _Processor]) -> str:
    """Return the first word of the query that names a processor, or ``''``.

    At the path of a scripted processor, where there is no table, words mean nothing.
    """
    known = request.arguments["table"] in request.snapshot.dictionary
    if not known and processor_of(request) is not None:
        return ""
    words = (word.lower() for word, _ in request.query)
    return next((word for word in words if word in processors), "")


def _guest(request: Request) -> Identity | None:
    """Return for whom a call without credentials acts, where a property does not ask for any."""
    called = request.method not in ("GET", "HEAD")
    return soap_guest(request, _word(request, _CALLED if called else _SHOWN))


def _lane_of(request: Request) -> Lane | None:
    return lane_of(request) or servlet_lane(request)


def carry_out_at_once(request: Request) -> Response | None:
    """Carry out what takes so little that a thread would cost more."""
    if any(word.lower() == "soap" for word, _ in request.query):
        return soap_get_at_once(request)
    return None
