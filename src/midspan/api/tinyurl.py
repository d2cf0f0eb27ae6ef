"""Short addresses for long queries: ``POST /api/now/tinyurl`` and the parameter ``sysparm_tiny``.

Source: ``spec/clients.md`` 21. A short address keeps nothing but a query, and whoever uses it reads
with his own rights. It is forgotten 30 days after it was last asked for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from midspan.api.description import BOTH, TEXT, Answer, Body, Description, members, result
from midspan.api.negotiation import body_form, response_form
from midspan.api.request import NOBODY, Request, query_pairs
from midspan.api.response import Response
from midspan.api.router import Route, SignedIn, versioned
from midspan.api.table import answer
from midspan.dictionary.values import datetime_text
from midspan.formats import lenient_json, xml
from midspan.kernel.errors import DuplicateKey, InvalidRequest, MalformedBody
from midspan.kernel.ids import derived_id
from midspan.query import Operator, ReadPlan, Test
from midspan.records import RecordTransaction
from midspan.security import SYSTEM
from midspan.storage import Statements

PARAMETER = "sysparm_tiny"
LONGEST = 64_000
"""Characters of an address."""
_TABLE = "sys_tiny_url"
_KEPT = timedelta(days=30)
_NOTED_EVERY = timedelta(days=1)


def tinyurl_routes() -> tuple[Route, ...]:
    """Return the route that makes short addresses, in all its versions."""
    return versioned(
        Route(
            name="tinyurl",
            methods=("POST",),
            path="/api/now/tinyurl",
            handler=shorten,
            access=SignedIn(),
            max_body=4 * LONGEST,
            description=_SHORTEN,
        )
    )


_SHORTEN = Description(
    summary="Make a short address",
    tag="Small interfaces",
    body=Body(members(("url",), url={"type": "string", "minLength": 1}), BOTH),
    answers={200: Answer("The path with a short query.", result(TEXT), BOTH)},
    refuses=(400, 403, 406, 415),
)


def shorten(request: Request) -> Response:
    """Answer a short address with the path of the long one; the same one for the same wish.

    Raises:
        MalformedBody: no address in the body.
        InvalidRequest: it is too long, or has no query that could be kept.
    """
    form = response_form(request)
    path, query = _parts(_wanted(request))
    query_pairs(query.encode())  # refuses now what could not be used later
    try:
        tiny = _kept(request, query)
    except DuplicateKey:  # another node was asked for the same at the same time
        tiny = _kept(request, query)
    return answer(f"{path}?{PARAMETER}={tiny}", form)


def expanded(request: Request) -> Request:
    """Return the request with the query that its ``sysparm_tiny`` stands for.

    Parameters that came beside it count, too, and win. Only for somebody who is signed in.

    Raises:
        InvalidRequest: no such short address, or not any more.
    """
    tiny = request.parameter(PARAMETER)
    if not tiny or request.identity is NOBODY:
        return request
    with request.parts.records.read(SYSTEM, enforce=False) as transaction:
        rows = _rows(transaction, "tiny_url", tiny)
    if not rows:
        raise InvalidRequest(
            f"Unknown {PARAMETER} {tiny[:80]}", hint="Ask for a new one at /api/now/tinyurl."
        )
    kept = query_pairs(rows[0].data.encode())
    given = tuple(pair for pair in request.query if pair[0] != PARAMETER)
    return request.replace(query=(*kept, *given), sent_query=request.query, brief=False)


def _wanted(request: Request) -> str:
    if body_form(request) == "xml":
        body = xml.to_object(xml.parse(request.body))
    else:
        body = lenient_json.parse(request.body)
    url = body.get("url") if isinstance(body, dict) else None
    if not isinstance(url, str) or not url.strip():
        raise MalformedBody("Expected an object with the member url")
    if len(url) > LONGEST:
        raise InvalidRequest(
            "The address is too long",
            detail=f"It has {len(url)} characters. Max allowed: {LONGEST}.",
        )
    return url.strip()


def _parts(url: str) -> tuple[str, str]:
    """Return path and query, without the host.

    >>> _parts("https://inst.example.com/incident_list.do?sysparm_query=a=1")
    ('incident_list.do', 'sysparm_query=a=1')
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidRequest("The address cannot be read", detail=str(error)) from error
    return parts.path.lstrip("/"), parts.query


class _Row(NamedTuple):
    data: str
    changed: str
    tiny: str


def _rows(transaction: RecordTransaction, field: str, value: str) -> list[_Row]:
    path = transaction.dictionary.path
    columns = tuple(path(_TABLE, name) for name in ("data", "sys_updated_on", "tiny_url"))
    test = Test(path(_TABLE, field), Operator.EQUALS, (value,))
    plan = ReadPlan(table=_TABLE, columns=columns, condition=test)
    return [_Row(*(text or "" for text in row)) for row in transaction.run(plan)]


def _kept(request: Request, query: str) -> str:
    """Return the short form of a query, made anew or found.

    The row's own id follows from user and query, so that the same wish is found again; the short
    form is drawn by lot, because whoever could work it out would learn who had asked for what.
    """
    own = derived_id(_TABLE, request.actor.sys_id, query)
    with request.parts.records.write(SYSTEM, enforce=False) as transaction:
        now = transaction.now
        found = _rows(transaction, "sys_id", own)
        if not found:
            sql = Statements("midspan.api", "tinyurls", transaction.database.dialect)
            transaction.database.execute(sql["forget"], (datetime_text(now - _KEPT),))
            tiny = derived_id(_TABLE, request.parts.ids.token())
            user = request.actor.sys_id
            row = {"sys_id": own, "tiny_url": tiny, "data": query, "user": user}
            transaction.engine_insert(_TABLE, [row])
            return tiny
        if found[0].changed < datetime_text(now - _NOTED_EVERY):
            transaction.engine_update(_TABLE, own, {"sys_updated_on": datetime_text(now)})
        return found[0].tiny
