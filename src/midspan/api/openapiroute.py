"""``/api/now/doc/openapi``: the OpenAPI document of whoever asks.

The path is beside ``/api/now/doc/table/schema``, the other list that connectors ask for. As links
do, the document follows the version of the request: below ``/api/now/v1`` its paths have ``v1``.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache

from midspan.api.compression import GZIP, kept_packed
from midspan.api.description import Answer, Description, query
from midspan.api.errors import NotAcceptable
from midspan.api.negotiation import preferred
from midspan.api.request import Request
from midspan.api.response import JSON, Response
from midspan.api.router import Route, SignedIn, api_version, versioned
from midspan.api.strict import warning_header
from midspan.kernel.errors import NotFound, did_you_mean
from midspan.records import Snapshot
from midspan.scripting.services import SERVICES, is_admitted
from midspan.security import Access
from midspan_sdk.version import __version__

_MOST_DOCUMENTS = 32
_DOCUMENT = Description(
    summary="This document",
    tag="Small interfaces",
    parameters=(
        query("tables", "Names of the only tables that are wanted, with commas between."),
        query("service", "The only API of Scripted REST that is wanted, like x_acme/orders."),
    ),
    answers={200: Answer("OpenAPI 3.1.", {"type": "object"}, headers=("X-Midspan-Warning",))},
    refuses=(400, 406),
)


class OpenApi:
    """Makes the document once for each configuration and actor, and keeps it compressed."""

    def __init__(self, routes: Callable[[], Iterable[Route]]) -> None:
        self.all_routes = routes
        self.making = threading.Lock()
        """Held while a document is made: it takes megabytes until it is compressed."""

    def routes(self) -> tuple[Route, ...]:
        """Return the route of the document in all its versions."""
        return versioned(
            Route(
                name="openapi",
                methods=("GET",),
                path="/api/now/doc/openapi",
                handler=self.show,
                access=SignedIn(),
                description=_DOCUMENT,
            )
        )

    def show(self, request: Request) -> Response:
        """Answer what the caller may do."""
        if preferred(request.headers.get("accept", ""), ("json",)) is None:
            raise NotAcceptable("Not acceptable", hint="Accept application/json.")
        snapshot = request.snapshot
        access = request.parts.records.access(request.actor, snapshot, request.parts.clock.now())
        given = request.parameter("tables")
        names = frozenset(name.strip() for name in given.split(",") if name.strip())
        known = frozenset(name for name in names if name in snapshot.dictionary)
        shelf = snapshot.derive(_Shelf, self)
        service = request.parameter("service").strip("/").removeprefix("api/")
        if service:
            names, known = frozenset(), frozenset()
            shelf.check(service, access)
        wanted = known if names or service else None
        packed = shelf.document(access, api_version(request.path), wanted, service)
        warnings = [f"There is no table {name[:80]}" for name in sorted(names - known)]
        return kept_packed(request, packed, JSON, warning_header(warnings))


class _Shelf:
    """The documents that were made under one configuration; the last 32 of them are kept."""

    def __init__(self, snapshot: Snapshot, surface: OpenApi) -> None:
        self._snapshot = snapshot
        self._surface = surface
        self.document = lru_cache(maxsize=_MOST_DOCUMENTS)(self._packed)

    def check(self, service: str, access: Access) -> None:
        """Refuse a service of which the actor may ask nothing.

        Raises:
            NotFound: there is none for him, with the nearest name.
        """
        known = {
            resource.api
            for _, resource in self._snapshot.part(SERVICES).resources()
            if is_admitted(resource, self._snapshot, access)
        }
        if service not in known:
            raise NotFound(
                f"There is no service {service[:80]} that you may ask",
                hint=did_you_mean(service, known) or "A service is named as x_acme/orders.",
            )

    def _packed(
        self, access: Access, version: str, tables: frozenset[str] | None, service: str
    ) -> bytes:
        """Return the document as JSON in gzip: a few megabytes that shrink to a twentieth."""
        from midspan.api.openapi import Seen, document  # noqa: PLC0415 - few starts need it

        seen = Seen(
            snapshot=self._snapshot,
            access=access.apart(),
            version=version,
            tables=tables,
            service=service,
        )
        packing = zlib.compressobj(level=1, wbits=GZIP)
        with self._surface.making:
            made = document(self._surface.all_routes(), seen, __version__)
            parts = [packing.compress(piece) for piece in made]
        return b"".join([*parts, packing.flush()])
