"""The header ``Idempotency-Key``: a write that is sent again has its effect once.

The first answer to a key is kept for 24 hours; the same request by the same user gets it again,
byte for byte. A request that was refused had no effect and is not kept. Requests without the header
pass by here at the price of looking for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import wraps

import msgspec

from midspan.api.description import Parameter, header
from midspan.api.keptanswers import KeptAnswer, KeptKey
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.kernel.errors import InvalidRequest
from midspan.kernel.ids import derived_id

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEY: Parameter = header(
    HEADER, "Any text of the client's own; sent again within 24 hours the answer is the first one."
)
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_NOT_ASKED = frozenset({"access_token"})
"""Parameters that may differ between two sendings of one request."""

Handler = Callable[[Request], Response]


def key_of(request: Request) -> KeptKey | None:
    """Return the key that a request brings, None when it brings none.

    Raises:
        InvalidRequest: it has more than one, or one that is empty, too long or not printable.
    """
    if HEADER not in request.headers:
        return None
    given = [text.strip() for text in request.headers.getlist(HEADER)]
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise InvalidRequest(
            "Idempotency-Key cannot be used",
            hint="Send it once, with 1 to 255 printable ASCII characters.",
        )
    user, method, path = request.actor.sys_id, request.method, request.path
    sys_id = derived_id("sys_idempotency_key", user, method, path, given[0])
    return KeptKey(sys_id=sys_id, user=user, method=method, path=path)


def digest_of(request: Request, *content: str) -> str:
    """Return what tells one request with a key from another: its query and ``content``."""
    pairs = [pair for pair in request.query if pair[0] not in _NOT_ASKED]
    return hashlib.sha256(msgspec.msgpack.encode((pairs, content))).hexdigest()


def once(handler: Handler) -> Handler:
    """Let a handler that writes in ``request.writing()`` have its effect once for each key."""

    @wraps(handler)
    def asked(request: Request) -> Response:
        key = key_of(request)
        if key is None:
            return handler(request)
        body = hashlib.sha256(request.body).hexdigest()
        with request.parts.kept_answers.under_way(key):
            return answered(request, key, digest_of(request, body), handler)

    return asked


def answered(request: Request, key: KeptKey, digest: str, handler: Handler) -> Response:
    """Return the kept answer to a key, or that of the handler, which is kept with its effect.

    Whoever calls keeps the key with ``under_way``.

    Raises:
        KeyInFlight: a request with the key is under way on another node.
        KeyReused: the key came with another request.
    """
    answers = request.parts.kept_answers
    with request.parts.records.write(request.actor) as transaction:
        answers.take(transaction, key)
        found = answers.find(transaction, key, digest)
        if found is not None:
            return replayed(found)
        response = handler(request.replace(joined=transaction))
        answers.keep(transaction, key, digest, _kept(response))
        return response


def kept_digest(request: Request, key: KeptKey) -> str | None:
    """Return the digest of the request that a key came with before, if it did."""
    with request.parts.records.read(request.actor) as transaction:
        return request.parts.kept_answers.asked(transaction, key)


def replayed(found: KeptAnswer) -> Response:
    """Return a kept answer, and a header that says that it is one."""
    headers = {**found.headers, REPLAYED: "true"}
    return Response(found.status, found.body.encode(), found.content_type, headers)


def _kept(response: Response) -> KeptAnswer:
    body = response.body if isinstance(response.body, bytes) else b""
    return KeptAnswer(
        status=response.status,
        content_type=response.content_type,
        headers=dict(response.headers),
        body=body.decode(),
    )
