"""The WSDL of a table: document style, literal use, SOAP 1.1 over HTTP, one port.

Prefixes are ``wsdl:`` and ``xsd:`` to the letter, because some clients read the text without
looking at namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.soap.envelope import CONTENT_TYPE, escaped
from midspan.api.soap.roles import check_description
from midspan.api.soap.schema import Element, Messages, messages_of
from midspan.api.soap.scripted import service_messages, service_of
from midspan.api.soap.style import Style, rights_of, style_of
from midspan.api.tableread import open_table
from midspan.dictionary import Table
from midspan.kernel.errors import InvalidTable
from midspan.scripting.soapservices import SoapService

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_PORT = "ServiceNowSoap"
_ACTION = "http://www.service-now.com"


def wsdl_answer(request: Request) -> Response:
    """Answer the WSDL of a table; for a table that does not exist a text that is no XML.

    Raises:
        NotAuthorized: the table is closed to web services, or the caller holds no SOAP role.
    """
    check_description(request)
    service = service_of(request)
    if service is not None:
        return _service_answer(request, service)
    name = request.arguments["table"]
    try:
        table = open_table(request.snapshot, name)
    except InvalidTable as error:
        told = f"Cannot generate WSDL: {error.explain()}\n"
        return Response(200, told.encode(), "text/plain;charset=UTF-8")
    style = style_of(request, table.name)
    text = "".join(_document(style, _messages(request, table, style)))
    return Response(200, text.encode(), CONTENT_TYPE)


def schema_answer(request: Request) -> Response:
    """Answer the XML schema alone; the same rules as for the WSDL.

    Raises:
        InvalidTable: there is no such table.
        NotAuthorized: it is closed to web services, or the caller holds no SOAP role.
    """
    check_description(request)
    service = service_of(request)
    if service is not None:
        style, messages = style_of(request, service.name), service_messages(service)
        text = f"{_DECLARATION}{_schema(style, messages, alone=True)}"
        return Response(200, text.encode(), CONTENT_TYPE)
    table = open_table(request.snapshot, request.arguments["table"])
    style = style_of(request, table.name)
    text = f"{_DECLARATION}{_schema(style, _messages(request, table, style), alone=True)}"
    return Response(200, text.encode(), CONTENT_TYPE)


def _service_answer(request: Request, service: SoapService) -> Response:
    """Answer the WSDL of a scripted service: the one it was given, or that of its parameters."""
    text = service.wsdl
    if not text:
        style = style_of(request, service.name)
        text = "".join(_document(style, service_messages(service)))
    return Response(200, text.encode(), CONTENT_TYPE)


def _messages(request: Request, table: Table, style: Style) -> Messages:
    """Return the messages about a table; made in less time than it is worth to remember them."""
    return messages_of(table, rights_of(request, table.name), style.display)


def _document(style: Style, messages: Messages) -> Iterator[str]:
    yield _DECLARATION
    yield (
        '<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"'
        ' xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"'
        ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
        f' xmlns:tns="{style.namespace}" targetNamespace="{style.namespace}">'
    )
    yield f"<wsdl:types>{_schema(style, messages)}</wsdl:types>"
    for operation in messages.requests:
        for direction, name in (("In", operation), ("Out", f"{operation}Response")):
            yield (
                f'<wsdl:message name="{operation}Soap{direction}">'
                f'<wsdl:part name="{style.table}" element="tns:{name}"/></wsdl:message>'
            )
    yield f'<wsdl:portType name="{_PORT}">'
    for operation in messages.requests:
        yield (
            f'<wsdl:operation name="{operation}">'
            f'<wsdl:input message="tns:{operation}SoapIn"/>'
            f'<wsdl:output message="tns:{operation}SoapOut"/></wsdl:operation>'
        )
    yield f'</wsdl:portType><wsdl:binding name="{_PORT}" type="tns:{_PORT}">'
    yield '<soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>'
    for operation in messages.requests:
        action = f"{_ACTION}/{style.table}/{operation}"
        yield (
            f'<wsdl:operation name="{operation}">'
            f'<soap:operation soapAction="{action}" style="document"/>'
            '<wsdl:input><soap:body use="literal"/></wsdl:input>'
            '<wsdl:output><soap:body use="literal"/></wsdl:output></wsdl:operation>'
        )
    yield f'</wsdl:binding><wsdl:service name="{style.service}">'
    yield f'<wsdl:port name="{_PORT}" binding="tns:{_PORT}">'
    yield f'<soap:address location="{escaped(style.address)}"/>'
    yield "</wsdl:port></wsdl:service></wsdl:definitions>"


def _schema(style: Style, messages: Messages, *, alone: bool = False) -> str:
    form = "qualified" if style.qualified else "unqualified"
    prefix = ' xmlns:xsd="http://www.w3.org/2001/XMLSchema"' if alone else ""
    wrappers = (
        _wrapper(name, elements, nillable=style.nillable)
        for operation in messages.requests
        for name, elements in (
            (operation, messages.requests[operation]),
            (f"{operation}Response", messages.answers[operation]),
        )
    )
    return (
        f'<xsd:schema{prefix} elementFormDefault="{form}" targetNamespace="{style.namespace}">'
        f"{''.join(wrappers)}</xsd:schema>"
    )


def _wrapper(name: str, elements: Iterable[Element], *, nillable: bool) -> str:
    return f'<xsd:element name="{name}">{_sequence(elements, nillable)}</xsd:element>'


def _sequence(elements: Iterable[Element], nillable: bool) -> str:
    inside = "".join(_particle(item, nillable) for item in elements)
    return f"<xsd:complexType><xsd:sequence>{inside}</xsd:sequence></xsd:complexType>"


def _particle(item: Element, nillable: bool) -> str:
    least, most = int(item.required), "unbounded" if item.repeated else "1"
    start = f'<xsd:element minOccurs="{least}" maxOccurs="{most}" name="{item.name}"'
    if item.parts:
        return f"{start}>{_sequence(item.parts, nillable)}</xsd:element>"
    null = ' nillable="true"' if nillable and not item.required else ""
    return f'{start}{null} type="{item.type}"/>'
