"""What ``/{table}.do`` is asked for by a word of its query: WSDL, SOAP, XSD.

Source: ``spec/soap.md`` 1. The order of the words does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from midspan.api import exports
from midspan.api.description import TEXT, Answer, Body, Description, query, segment
from midspan.api.errors import UnknownPage
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Route, SignedIn
from midspan.api.soap.endpoint import soap_answer, soap_get_at_once
from midspan.api.soap.scripted import lane_of
from midspan.api.soap.wsdl import schema_answer, wsdl_answer

_PATH = "/{table}.do"
_Processor = Callable[[Request], Response]
_SHOWN: Mapping[str, _Processor] = {
    "wsdl": wsdl_answer,
    "xsd": schema_answer,
    "schema": schema_answer,
    **exports.PROCESSORS,
}
"""What answers GET, by the word of the query in small letters."""
_CALLED: Mapping[str, _Processor] = {
    "soap": soap_answer,
}
"""What answers POST."""


def processor_routes() -> tuple[Route, ...]:
    """Return the routes of what a table offers beside the REST interfaces."""
    return (
        Route(
            name="processor.show",
            methods=("GET",),
            path=_PATH,
            handler=show,
            access=SignedIn(),
            description=_SHOW,
        ),
        Route(
            name="processor.call",
            methods=("POST",),
            path=_PATH,
            handler=carry_out,
            at_once=carry_out_at_once,
            access=SignedIn(),
            lane=lane_of,
            description=_CALL,
        ),
    )


_TEXT_XML = "text/xml"
_MEDIA = (_TEXT_XML, "text/plain")
_TABLE = segment("table", "Name of the table.", {"type": "string", "minLength": 1})
_DISPLAY = query(
    "displayvalue", "true: what people see instead of what is stored; all: both of them."
)
_SHOW = Description(
    summary="Read the WSDL of a table (?WSDL) or its XML schema (?XSD)",
    tag="SOAP",
    parameters=(
        _TABLE,
        query("WSDL", "Asks for the WSDL."),
        query("XSD", "Asks for the schema alone; so does SCHEMA."),
        _DISPLAY,
    ),
    answers={200: Answer("The document; a text where there is no such table.", TEXT, _MEDIA)},
    refuses=(400, 403, 404),
)
_CALL = Description(
    summary="Carry out a SOAP operation on a table (?SOAP)",
    tag="SOAP",
    parameters=(
        _TABLE,
        query("SOAP", "Says that the body is a SOAP envelope."),
        query("allow_empty_value", "true: empty elements empty their fields."),
        query("hierarchical", "true: elements inside an insert are records that belong to it."),
        _DISPLAY,
    ),
    body=Body(TEXT, (_TEXT_XML,)),
    answers={
        200: Answer("The answer of the operation.", TEXT, (_TEXT_XML,)),
        500: Answer("A SOAP fault.", TEXT, (_TEXT_XML,)),
    },
    refuses=(400, 404),
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
    for word, _ in request.query:
        processor = processors.get(word.lower())
        if processor is not None:
            return processor(request)
    raise UnknownPage


def carry_out_at_once(request: Request) -> Response | None:
    """Carry out what takes so little that a thread would cost more."""
    if any(word.lower() == "soap" for word, _ in request.query):
        return soap_get_at_once(request)
    return None
