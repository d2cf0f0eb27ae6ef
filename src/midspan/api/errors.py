"""Errors on the wire: which status and which wording each code of ``kernel.errors`` gets.

The wordings are those that clients compare with (``spec/rest-api.md`` 1.11). Nothing unexpected
leaves the process: it is logged with the request's id, and the answer names that id.
"""

from __future__ import annotations

from html import escape

from msgspec import Struct

from midspan.api.frame import PAGE_HEADERS, framed
from midspan.api.keptanswers import KeyInFlight, KeyReused
from midspan.api.response import HTML, XML, Response, json_response
from midspan.attachments.attributes import NoAttribute
from midspan.formats import xml
from midspan.kernel.errors import (
    AccessDenied,
    Conflict,
    DuplicateKey,
    InvalidRequest,
    InvalidTable,
    LimitExceeded,
    MalformedBody,
    MidspanError,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    OperationAborted,
    RecordNotFound,
    Unavailable,
)
from midspan.security import Limit, SignInDelayed

CHALLENGE = 'BASIC realm="Service-now"'
UNREADABLE = "Exception while reading request"
FAILED = "Operation Failed"
MISSING = "Record doesn't exist or ACL restricts the record retrieval"


class UnknownPath(NotFound):
    """No route has this path."""

    code = "MS210"

    def __init__(self) -> None:
        super().__init__("Requested URI does not represent any resource")


class UnknownPage(NotFound):
    """No page has this path."""

    code = "MS211"

    def __init__(self) -> None:
        super().__init__("There is no such page")


class MethodNotSupported(InvalidRequest):
    """The path exists, this method on it does not."""

    code = "MS110"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__("Method not supported", hint=f"Allowed: {', '.join(allowed)}.")
        self.allowed = allowed


class NotAcceptable(InvalidRequest):
    """The Accept header names nothing that this resource can be shown as."""

    code = "MS111"


class UnsupportedMediaType(InvalidRequest):
    """The body has a type that this resource does not read."""

    code = "MS112"


class UnsupportedEncoding(UnsupportedMediaType):
    """The body has a Content-Encoding that is not read."""

    code = "MS114"

    def __init__(self) -> None:
        super().__init__("Unsupported media type", hint="Content-Encoding may be gzip or identity.")


class InflatedTooLarge(LimitExceeded):
    """A packed body becomes larger than this resource reads, or is meant to fill the memory."""

    code = "MS511"

    def __init__(self) -> None:
        super().__init__(UNREADABLE, detail="The body becomes too large when it is unpacked.")


class BodyTooLarge(LimitExceeded):
    """The body is larger than this resource reads."""

    code = "MS510"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            UNREADABLE,
            detail=f"Rejected large REST payload with content-length = {size} bytes."
            f" Max allowed: {limit} bytes.",
        )


class RateLimited(LimitExceeded):
    """More requests came within the hour than a rate limit rule lets through."""

    code = "MS502"

    def __init__(self, limit: Limit, api: str) -> None:
        super().__init__(
            "Rate limit exceeded",
            detail=f"Rate limit of {limit.rule.limit} requests per hour for {api} exceeded",
        )
        self.limit = limit


class CsrfTokenMissing(NotAuthenticated):
    """A write that is authenticated by a cookie alone does not prove that it came from a page."""

    code = "MS310"

    def __init__(self, sent: str, expected: str) -> None:
        super().__init__("User Not Authenticated")
        self.sent = sent
        self.expected = expected


class RefusedByPolicy(NotAuthenticated):
    """An API access policy does not let this kind of authentication, or sender, reach the API."""

    code = "MS312"

    def __init__(self, kind: str, path: str) -> None:
        super().__init__(
            "User Not Authenticated", hint=f"No access policy lets {kind or 'this'} reach {path}."
        )


class PreconditionFailed(Conflict):
    """What a request is meant for is not what its If-Match or If-None-Match says."""

    code = "MS451"

    def __init__(self, name: str) -> None:
        super().__init__(
            "Precondition failed",
            detail=f"{name} does not hold: the record changed since it was read,"
            " or it was read with other parameters.",
            hint="Read it again and decide anew.",
        )


class WireError(Struct, frozen=True):
    """An error as it is sent."""

    status: int
    message: str
    detail: str | None


_STATUS: tuple[tuple[type[MidspanError], int], ...] = (
    (MethodNotSupported, 405),
    (NotAcceptable, 406),
    (UnsupportedMediaType, 415),
    (KeyReused, 422),
    (PreconditionFailed, 412),
    (InflatedTooLarge, 413),
    (UnknownPage, 404),
    (BodyTooLarge, 400),
    (InvalidTable, 400),
    (RecordNotFound, 404),
    (NoAttribute, 404),
    (NotFound, 400),
    (OperationAborted, 403),
    (DuplicateKey, 403),
    (Conflict, 409),
    (NotAuthenticated, 401),
    (AccessDenied, 403),
    (InvalidRequest, 400),
    (SignInDelayed, 429),
    (RateLimited, 429),
    (LimitExceeded, 500),
    (Unavailable, 503),
)
"""The first class that fits decides; anything else is 500."""


def on_the_wire(error: MidspanError) -> WireError:
    """Return status and wording of an error.

    >>> on_the_wire(InvalidTable("no_such"))
    WireError(status=400, message='Invalid table no_such', detail=None)
    """
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    match error:
        case RecordNotFound():
            return WireError(status, "No Record found", MISSING)
        case NotAuthenticated():
            return WireError(
                status, "User Not Authenticated", "Required to provide Auth information"
            )
        case MalformedBody():
            return WireError(status, UNREADABLE, _joined(error.message, error.detail))
        case InvalidRequest() if error.message == FAILED:
            return WireError(403, FAILED, error.detail)
        case InvalidTable() | UnknownPath() | MethodNotSupported() | NotAuthorized():
            return WireError(status, error.message, error.detail)
    return WireError(status, error.message, _joined(error.detail, error.hint))


def error_headers(error: MidspanError) -> dict[str, str]:
    """Return the headers that belong to an error."""
    match error:
        case CsrfTokenMissing():
            return {
                "WWW-Authenticate": CHALLENGE,
                "X-UserToken-Response": error.expected,
                **({"X-UserToken-Request": error.sent} if error.sent else {}),
            }
        case NotAuthenticated():
            return {"WWW-Authenticate": CHALLENGE}
        case UnsupportedEncoding():
            return {"Accept-Encoding": "gzip"}
        case MethodNotSupported():
            return {"Allow": ", ".join(error.allowed)}
        case RateLimited():
            return {**limit_headers(error.limit), "Retry-After": str(error.limit.seconds)}
        case SignInDelayed():
            return {"Retry-After": str(error.seconds)}
        case Unavailable() | KeyInFlight():
            return {"Retry-After": "1"}
    return {}


def limit_headers(limit: Limit) -> dict[str, str]:
    """Return the headers of an answer to a request that a rate limit rule is about."""
    return {
        "X-RateLimit-Limit": str(limit.rule.limit),
        "X-RateLimit-Reset": str(limit.reset),
        "X-RateLimit-Rule": limit.rule.sys_id,
    }


def error_response(error: MidspanError, form: str = "json") -> Response:
    """Return an error in the ``form`` the caller reads: ``json``, ``xml`` or ``html``."""
    wire = on_the_wire(error)
    headers = error_headers(error)
    if form == "html":
        return Response(wire.status, _html(wire), HTML, {**PAGE_HEADERS, **headers})
    envelope = {"error": {"message": wire.message, "detail": wire.detail}, "status": "failure"}
    if form == "xml":
        body = xml.to_bytes(xml.from_object("response", envelope))
        return Response(wire.status, body, XML, headers)
    return json_response(envelope, wire.status, headers)


def unexpected(request_id: str) -> MidspanError:
    """Return what is told about a defect: only where its log entry is."""
    return MidspanError(
        "Unexpected error", detail=f"The log has the details under request id {request_id}"
    )


def _joined(*parts: str | None) -> str | None:
    return " ".join(part for part in parts if part) or None


def _html(wire: WireError) -> bytes:
    detail = f"<p>{escape(wire.detail)}</p>" if wire.detail else ""
    return framed(wire.message, detail, "<p><a href='/'>Start page</a></p>")
