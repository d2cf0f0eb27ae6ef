"""``x-sn-apikey``: a key that an administrator made for a user proves who sends a request.

Keys are rows of ``api_key``; the database holds a hash of each. A key is made here, and shown once,
or chosen by whoever writes the row through the Table API. It belongs to its user: it can do what
he can now, rests while he is inactive or locked, and does not end with his password.
"""

from __future__ import annotations

import hashlib

import orjson

from midspan.api.description import TEXT, Answer, Body, Description, members, result, texts
from midspan.api.request import Identity, Request
from midspan.api.response import Response, json_response
from midspan.api.router import Role, Route
from midspan.dictionary.values import parse_datetime
from midspan.formats import lenient_json
from midspan.kernel.errors import InvalidRequest, MalformedBody, NotAuthenticated
from midspan.query import Operator, ReadPlan, Test
from midspan.records import RIGHTS, RecordTransaction, insert
from midspan.security import SYSTEM

HEADER = "x-sn-apikey"
PATH = "/api/midspan/v1/api-keys"
_TABLE = "api_key"
_COLUMNS = ("user", "active", "expires")


class ApiKeys:
    """The sign-in scheme of API keys."""

    def claims(self, request: Request) -> bool:
        """Tell whether the request carries a key."""
        return HEADER in request.headers

    def identify(self, request: Request) -> Identity | None:
        """Return the user of the key.

        Raises:
            NotAuthenticated: it is unknown, inactive or expired, or its user is; all alike.
        """
        given = request.headers.get(HEADER)
        if given is None:
            return None
        with request.parts.records.read(SYSTEM, enforce=False) as transaction:
            user = _user(transaction, given)
        rights = request.snapshot.part(RIGHTS)
        return Identity(request.parts.identities.actor(user, rights), "apikey")


def key_routes() -> tuple[Route, ...]:
    """Return the route that makes keys."""
    return (
        Route(
            name="apikeys.make",
            methods=("POST",),
            path=PATH,
            handler=make_key,
            access=Role("admin"),
            max_body=64 * 1024,
            description=_MAKE,
        ),
    )


_MAKE = Description(
    summary="Make an API key",
    tag="Administration",
    body=Body(members(("user", "name"), user=TEXT, name=TEXT, expires=TEXT)),
    answers={
        201: Answer("The key, shown this once.", result(texts("sys_id", "name", "key"))),
    },
    refuses=(400,),
)


def make_key(request: Request) -> Response:
    """Make a key for a user: ``{"user", "name"[, "expires"]}``; this answer alone shows it."""
    given = _members(request)
    key = request.parts.ids.token()
    with request.parts.records.write(request.actor) as transaction:
        found = transaction.find("sys_user", "ORDERBYsys_id^user_name=" + given.pop("user"))
        if len(found) != 1:
            raise InvalidRequest("There is no such user", hint="user is a user name")
        values = {**given, "user": found[0].sys_id, "token": key}
        sys_id = transaction.apply(insert(_TABLE, values)).sys_id
    shown = {"sys_id": sys_id, "name": given["name"], "key": key}
    return json_response({"result": shown}, 201)


def _members(request: Request) -> dict[str, str]:
    try:
        body = lenient_json.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody("The body is not JSON", detail=str(error)) from error
    texts = isinstance(body, dict) and all(isinstance(value, str) for value in body.values())
    if not texts or not {"user", "name"} <= set(body) <= {"user", "name", "expires"}:
        raise InvalidRequest('Expected {"user": "…", "name": "…"}, and "expires" if it ends')
    if not body["user"] or not body["name"] or "^" in body["user"] or "\0" in body["user"]:
        raise InvalidRequest("user and name must not be empty, and user is a user name")
    return dict(body)


def _user(transaction: RecordTransaction, key: str) -> str:
    """Return the sys_id of the user of a live key."""
    dictionary = transaction.dictionary
    hashed = hashlib.sha256(key.encode()).hexdigest()
    plan = ReadPlan(
        table=_TABLE,
        columns=tuple(dictionary.path(_TABLE, name) for name in _COLUMNS),
        condition=Test(dictionary.path(_TABLE, "token_hash"), Operator.EQUALS, (hashed,)),
        limit=1,
    )
    for user, active, expires in transaction.run(plan):
        if active == "true" and (not expires or parse_datetime(str(expires)) > transaction.now):
            return str(user)
    raise NotAuthenticated("User Not Authenticated")
