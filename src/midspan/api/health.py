"""``/healthz`` and ``/readyz``: is the process alive, and can it work?"""

from __future__ import annotations

import logging
from datetime import timedelta

from midspan.api.description import Answer, Description, texts
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.router import Public, Route
from midspan.kernel.errors import MidspanError, Unavailable

PATIENCE = timedelta(seconds=2)
"""How long ``/readyz`` waits for a connection: less than a load balancer waits for the answer."""

log = logging.getLogger(__name__)


def health_routes() -> tuple[Route, ...]:
    """Return the two routes for load balancers and supervisors."""
    reason = "Load balancers ask without credentials; the answer names no data."
    return (
        Route(
            name="health.alive",
            methods=("GET",),
            path="/healthz",
            handler=alive,
            access=Public(reason),
            description=_ALIVE,
        ),
        Route(
            name="health.ready",
            methods=("GET",),
            path="/readyz",
            handler=ready,
            access=Public(reason),
            description=_READY,
        ),
    )


_ALIVE = Description(
    summary="Does the process take requests",
    tag="Health",
    answers={200: Answer("It does.", texts("status"))},
    refuses=(400,),
)


def alive(request: Request) -> Response:
    """Answer that the process takes requests."""
    return json_response({"status": "alive"})


_READY = Description(
    summary="Can the instance work",
    tag="Health",
    answers={
        200: Answer("It can.", texts("status")),
        503: Answer("Send requests elsewhere and ask again.", texts("status", "code")),
    },
    refuses=(400,),
)


def ready(request: Request) -> Response:
    """Ask the database and every part that registered a check; 503 when one cannot work.

    Whatever stands in the way, the answer is the same: send requests elsewhere and ask again.
    """
    try:
        with request.parts.records.database.read(within=PATIENCE) as transaction:
            if transaction.row("SELECT 1") is None:
                raise Unavailable("The database does not answer")
        for check in request.parts.readiness:
            check()
    except MidspanError as error:
        return _not_ready(error.code)
    except Exception:
        log.exception("the instance is not ready")
        return _not_ready(Unavailable.code)
    return json_response({"status": "ready"})


def _not_ready(code: str) -> Response:
    return json_response({"status": "not ready", "code": code}, 503, {"Retry-After": "1"})
