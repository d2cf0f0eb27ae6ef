"""Scripts at addresses of the old style: ``/xmlhttp.do`` and ``/{path}.do`` of processors.

``/xmlhttp.do`` calls a script include that clients may call and answers ``<xml answer="…"/>``;
the vendor's pages talk to it by GlideAjax. Source: ``spec/scripting.md`` 2.12, and what its clients
expect: 404 with the attribute ``error`` where there is no such include.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from lxml import etree

from midspan.api.authentication import FORM_TOKEN, refuse_forged
from midspan.api.description import ANYTHING, TEXT, Answer, Body, Description, query
from midspan.api.lane import Lane
from midspan.api.request import NOBODY, Request
from midspan.api.response import Response, json_response
from midspan.api.router import HandlerDecides, Route
from midspan.api.scripted import reply_response, scripted_request
from midspan.api.scriptlane import ScriptLane, Turns
from midspan.formats import xml
from midspan.kernel.errors import InvalidValue, NotAuthenticated, NotAuthorized
from midspan.records import ACCESS
from midspan.sandbox import SandboxUnavailable, ScriptError
from midspan.scripting import PerWrite, ScriptRunner, serve
from midspan.scripting.includes import INCLUDES, Include
from midspan.scripting.processors import (
    PROCESSORS,
    Processor,
    answered,
    client_call,
    client_include,
)
from midspan.scripting.rest import ask
from midspan.scripting.soapservices import SOAP_SERVICES
from midspan_link.logs import redact

_PATH = "/xmlhttp.do"
_XML = "text/xml;charset=UTF-8"
_PLAIN = "text/plain;charset=UTF-8"
_INCLUDE, _PROCESSOR = "client_callable_script_include", "processor"
_CLASS = "com.glide.processors.xmlhttp."
_OF_SOAP = frozenset({"soap", "wsdl", "xsd", "schema"})
_DEEPEST = 32
_SHOWN = 100
"""Characters of a name that an answer repeats."""
_log = logging.getLogger("midspan.script")

_DOCUMENT = Answer("The document that the script include filled.", TEXT, ("text/xml",))
_CALL = Description(
    summary="Call a client-callable script include",
    tag="Scripts",
    parameters=(
        query("sysparm_processor", "Name of the script include, with or without its scope."),
        query("sysparm_name", "The method to call."),
        query("sysparm_scope", "The scope that asks; global."),
        query("sysparm_type", "For the script; it comes back in the answer."),
        query("sysparm_ck", "The token of a session, where X-UserToken is not sent."),
    ),
    body=Body(ANYTHING, ("application/x-www-form-urlencoded",)),
    answers={
        200: _DOCUMENT,
        404: Answer("There is no such include for clients.", TEXT, ("text/xml",)),
    },
    refuses=(400, 401, 403),
)


class Servlets:
    """What runs such scripts, in threads of their own: a slow one holds up no other request."""

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
        self.route = Route(
            name="xmlhttp",
            methods=("GET", "POST"),
            path=_PATH,
            handler=self.handle,
            access=HandlerDecides("a script include says by isPublic() that guests may call it"),
            form_token=True,
            description=_CALL,
        )

    def close(self) -> None:
        """Finish what runs and stop the threads."""
        self.lane.close()

    async def handle(self, request: Request) -> Response:
        """Answer a client's call of a script include."""
        return await self.lane.run(self._call, request)

    def _call(self, request: Request) -> Response:
        sent = scripted_request(request, {}, target="xmlhttp")
        given = {name: values[0] for name, values in sent.query_params.items()}
        refuse_forged(request, lambda: given.get(FORM_TOKEN, ""))
        name = given.get("sysparm_processor", "")
        index = request.snapshot.part(INCLUDES)
        include = client_include(index, name, given.get("sysparm_scope", ""))
        guest = request.identity is NOBODY
        if guest and (include is None or "isPublic" not in include.text):
            raise NotAuthenticated("User Not Authenticated")
        if include is None:
            return _document(404, {"error": _unknown(name)})
        _admit(request, _INCLUDE, (include.api_name, include.name))
        unit = PerWrite(request.parts.records, request.actor)
        try:
            value = ask(self.runner, client_call(include, guest=guest), sent, unit)
        except SandboxUnavailable:
            raise
        except ScriptError as error:
            return _failed(error, include, given)
        element = answered(value)
        if element is None:
            raise NotAuthenticated("User Not Authenticated")
        return Response(200, xml.to_bytes(_element(element, _DEEPEST)), _XML)

    def process(self, request: Request, processor: Processor) -> Response:
        """Answer a request by a processor's script.

        Raises:
            NotAuthorized: the caller has none of its roles, or no access control of it grants.
            CsrfTokenMissing: it asks for the token of the session.
        """
        sent = scripted_request(request, {}, target=request.arguments["table"])
        if processor.csrf:
            given = sent.query_params.get(FORM_TOKEN, [""])
            refuse_forged(request, lambda: given[0])
        if processor.roles and not request.actor.has_role(processor.roles):
            raise NotAuthorized("User Not Authorized", detail=f"Needs one of: {processor.roles}")
        _admit(request, _PROCESSOR, (processor.name,))
        unit = PerWrite(request.parts.records, request.actor)
        try:
            reply = serve(self.runner, processor.script, sent, unit)
        except SandboxUnavailable:
            raise
        except ScriptError as error:
            _log.error("%s", error, extra={"script": error.script, "line": error.line})
            told = {"message": redact(error.message), "detail": error.detail or ""}
            return json_response({"error": told, "status": "failure"}, 500)
        return reply_response(reply, _PLAIN)


def processor_of(request: Request) -> Processor | None:
    """Return the processor that an address means: by its path, or for a table by a word.

    A table goes before a processor of the same path, and so does a SOAP service that is meant.
    """
    known, table = request.snapshot.part(PROCESSORS), request.arguments["table"]
    if table not in request.snapshot.dictionary:
        soap = table in request.snapshot.part(SOAP_SERVICES) and any(
            word.lower() in _OF_SOAP for word, _ in request.query
        )
        return None if soap else known.paths.get(table)
    if not known.words:
        return None
    return next((known.words[word] for word, _ in request.query if word in known.words), None)


def lane_of(request: Request) -> Lane | None:
    """Return the threads that such a script runs in; None: those of all requests."""
    servlets = request.parts.servlets
    return servlets.lane if servlets is not None and processor_of(request) is not None else None


def _admit(request: Request, kind: str, names: Sequence[str]) -> None:
    """Ask the access controls of what is called; without any, everybody who got here may.

    Raises:
        NotAuthorized: there are some, and none grants.
    """
    snapshot = request.snapshot
    rules = snapshot.part(ACCESS).executing(kind, names)
    access = request.parts.records.access(request.actor, snapshot, request.parts.clock.now())
    if rules and not access.grants(rules):
        raise NotAuthorized("User Not Authorized", detail="Failed API level ACL Validation")


def _unknown(name: str) -> str:
    return f"HTTP Processor class not found: {_CLASS}{name[:_SHOWN]}"


def _failed(error: ScriptError, include: Include, given: Mapping[str, str]) -> Response:
    """Answer without an answer, as GlideAjax gets it there; the log has where it failed."""
    _log.error("%s", error, extra={"script": error.script, "line": error.line})
    told = {name: given[name] for name in ("sysparm_name", "sysparm_processor") if name in given}
    return _document(200, {"error": f"{include.api_name}: {redact(error.message)}", **told})


def _document(status: int, attributes: Mapping[str, str]) -> Response:
    item = {"name": "xml", "attributes": sorted(attributes.items())}
    return Response(status, xml.to_bytes(_element(item, 1)), _XML)


def _element(item: Mapping[str, Any], levels: int) -> etree._Element:
    """Return an element as a script described it.

    Raises:
        InvalidValue: a name is none that XML knows, or it is nested too deep.
    """
    if levels == 0:
        raise InvalidValue(f"An answer has at most {_DEEPEST} levels of elements")
    try:
        element = etree.Element(str(item.get("name")))
        for name, value in item.get("attributes") or ():
            element.set(str(name), xml.clean_text(str(value)))
    except ValueError as error:
        raise InvalidValue(f"An answer holds a name that XML does not allow: {error}") from error
    element.text = xml.clean_text(str(item.get("text") or "")) or None
    for child in item.get("children") or ():
        if isinstance(child, Mapping):
            element.append(_element(child, levels - 1))
    return element
