"""CORS: what a browser is told when a page of another site calls an API. Source: rest-api 8.10.

Deny by default: without a rule of ``sys_cors_rule`` that covers origin, API and method nothing is
said, and the browser gives the page nothing. A rule never opens anything by itself; the request
still needs credentials of its own.
"""

from __future__ import annotations

from midspan.api.request import Request
from midspan.api.response import Response
from midspan.records import ORIGINS
from midspan.security import OriginRule, endpoint

ENABLED = "glide.rest.cors.enabled"
_SIMPLE = frozenset({"GET", "HEAD", "POST"})
_SIMPLE_TYPES = frozenset(
    {"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}
)
_OF_PREFLIGHT = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def sharing(request: Request) -> OriginRule | None:
    """Return the rule under which the page that sent a request may see the answer, or None.

    A method in X-HTTP-Method-Override has to be permitted, too.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return None
    return _rule(request, origin, (request.method, request.sent_method))


def preflight(request: Request) -> Response | None:
    """Return the answer to a browser that asks what a page may send, None where no rule permits.

    Only a request with ``Origin`` and ``Access-Control-Request-Method`` asks this.
    """
    origin = request.headers.get("origin")
    method = request.headers.get("access-control-request-method", "").strip()
    if origin is None or not method:
        return None
    rule = _rule(request, origin, (method,))
    wanted = request.headers.get("access-control-request-headers", "").lower()
    names = [part.strip() for part in wanted.split(",") if part.strip()]
    if rule is None or not rule.permits(names):
        return None
    # Spelled out, because * stands for nothing in a request with credentials and never for
    # Authorization; what is echoed was compared, and is made printable like every header.
    allowed = names if "*" in rule.headers else rule.headers
    return Response(
        200,
        headers={
            **_origin(rule, origin),
            "Access-Control-Allow-Methods": ",".join(sorted(rule.methods)),
            **({"Access-Control-Allow-Headers": ",".join(allowed)} if allowed else {}),
            "Access-Control-Max-Age": str(rule.max_age),
            "Vary": _OF_PREFLIGHT,
        },
    )


def shared_headers(rule: OriginRule, origin: str) -> dict[str, str]:
    """Return what lets a page of ``origin`` read an answer."""
    exposed = ",".join(rule.exposed)
    return {
        **_origin(rule, origin),
        **({"Access-Control-Expose-Headers": exposed} if exposed else {}),
        "Vary": "Origin",
    }


def trusted(request: Request) -> bool:
    """Tell whether a page of another site may have sent a request by a browser's credentials.

    A rule that permits credentials says so. Under any other one the request must be of a kind that
    a browser asks about first, since then it cannot carry what the browser holds.
    """
    rule = request.shared
    if rule is None:
        return False
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    simple = request.sent_method in _SIMPLE and kind in _SIMPLE_TYPES
    return rule.with_credentials or not simple


def _rule(request: Request, origin: str, methods: tuple[str, ...]) -> OriginRule | None:
    rules = request.snapshot.part(ORIGINS)
    if not rules or request.property(ENABLED, "true").strip().lower() == "false":
        return None
    wanted = {"GET" if method == "HEAD" else method for method in methods}
    return rules.find(origin, wanted, endpoint(request.method, request.path))


def _origin(rule: OriginRule, origin: str) -> dict[str, str]:
    credentials = {"Access-Control-Allow-Credentials": "true"} if rule.with_credentials else {}
    return {"Access-Control-Allow-Origin": origin, **credentials}
