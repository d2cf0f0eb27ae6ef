"""Payloads of configuration items: ``/api/now/identifyreconcile``, and all routes of the CMDB.

Source: ``spec/rest-api.md`` 7.3 and the vendor's documentation of the API.
"""

from __future__ import annotations

from midspan.api.cmdbdescription import reconcile_description
from midspan.api.cmdbinstance import instance_routes
from midspan.api.cmdbmeta import meta_routes
from midspan.api.errors import UnsupportedMediaType
from midspan.api.idempotency import once
from midspan.api.negotiation import body_form, response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Handler, Role, Route, versioned
from midspan.api.strict import refuse_in_strict_mode, unknown_parameters, warning_header
from midspan.api.table import answer
from midspan.cmdb import (
    BASIC,
    IdentificationEngine,
    Options,
    Payload,
    answer_of,
    options_of,
    read_payload,
)
from midspan.formats import lenient_json
from midspan.kernel.errors import InvalidRequest

_SOURCE = "sysparm_data_source"
_KNOWN = frozenset({_SOURCE})
_PATH = "/api/now/identifyreconcile"


def cmdb_routes(engine: IdentificationEngine) -> tuple[Route, ...]:
    """Return every route about configuration items in all its versions."""
    surface = ReconcileApi(engine)
    routes = (
        _route("ire.commit", "", once(surface.commit), "Identify and write items", writes=True),
        _route("ire.query", "/query", surface.query, "Tell what would become of items"),
        _route(
            "ire.commit_enhanced",
            "/enhanced",
            once(surface.commit_enhanced),
            "Identify and write items, keeping what cannot be identified yet",
            enhanced=True,
            writes=True,
        ),
        _route(
            "ire.query_enhanced",
            "/queryEnhanced",
            surface.query_enhanced,
            "Tell what would become of items, kept ones included",
            enhanced=True,
        ),
    )
    return (
        *instance_routes(engine),
        *meta_routes(),
        *(version for route in routes for version in versioned(route)),
    )


def _route(
    name: str,
    path: str,
    handler: Handler,
    summary: str,
    *,
    enhanced: bool = False,
    writes: bool = False,
) -> Route:
    return Route(
        name=name,
        methods=("POST",),
        path=f"{_PATH}{path}",
        handler=handler,
        one_write=writes,
        access=Role("itil,asset"),
        description=reconcile_description(summary, enhanced=enhanced, writes=writes),
    )


class ReconcileApi:
    """The four ways to hand a payload to the engine."""

    def __init__(self, engine: IdentificationEngine) -> None:
        self._engine = engine

    def commit(self, request: Request) -> Response:
        """Write all items of a payload, or none."""
        return self._commit(request, BASIC)

    def commit_enhanced(self, request: Request) -> Response:
        """Write what can be written, and keep what cannot be identified yet."""
        return self._commit(request, read_options(request.parameter("options")))

    def query(self, request: Request) -> Response:
        """Tell what ``commit`` would do."""
        return self._query(request, BASIC)

    def query_enhanced(self, request: Request) -> Response:
        """Tell what ``commit_enhanced`` would do."""
        return self._query(request, read_options(request.parameter("options")))

    def _commit(self, request: Request, options: Options) -> Response:
        form, payload, warnings = _read(request)
        with request.writing() as transaction:
            outcome = self._engine.take(
                transaction, payload, request.parameter(_SOURCE).strip(), options
            )
        return answer(answer_of(outcome), form, headers=warning_header(warnings))

    def _query(self, request: Request, options: Options) -> Response:
        form, payload, warnings = _read(request)
        source = request.parameter(_SOURCE).strip()
        outcome = self._engine.query(request.actor, payload, source, options)
        return answer(answer_of(outcome), form, headers=warning_header(warnings))


def _read(request: Request) -> tuple[str, Payload, tuple[str, ...]]:
    """Return the form of the answer, the payload and what was left out of the request."""
    form = response_form(request)
    if body_form(request) != "json":
        raise UnsupportedMediaType("Unsupported media type", hint="Send application/json.")
    warnings = unknown_parameters(request, _KNOWN)
    refuse_in_strict_mode(request, warnings, _KNOWN)
    return form, read_payload(lenient_json.parse(request.body)), warnings


def read_options(text: str) -> Options:
    """Read the options of the enhanced calls.

    >>> read_options("partial_payloads:false,generate_summary:true").generate_summary
    True

    Raises:
        InvalidRequest: a part is no pair of a known name and true or false.
    """
    given: dict[str, str] = {}
    for chunk in filter(None, (part.strip() for part in text.split(","))):
        name, colon, value = (part.strip() for part in chunk.partition(":"))
        if not colon:
            raise InvalidRequest(
                f"Chunk [{chunk[:80]}] is not a valid entry", hint="Write name:true or name:false."
            )
        given[name] = value
    return options_of(given)
