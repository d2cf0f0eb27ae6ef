"""What a handler returns."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import TypeAlias

import orjson
from msgspec import Struct, structs

JSON = "application/json;charset=UTF-8"
XML = "application/xml;charset=UTF-8"
HTML = "text/html; charset=utf-8"

Body: TypeAlias = bytes | AsyncIterable[bytes]


class Response(Struct, frozen=True):
    """An answer; ``body`` is all of it, or its pieces in order for long ones."""

    status: int = 200
    body: Body = b""
    content_type: str = ""
    headers: Mapping[str, str] = {}
    cookies: tuple[str, ...] = ()
    """Values of Set-Cookie headers."""

    def with_headers(self, headers: Mapping[str, str]) -> Response:
        """Return the response with further headers."""
        return structs.replace(self, headers={**self.headers, **headers})


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return ``value`` as compact JSON."""
    return Response(status, orjson.dumps(value), JSON, headers or {})


def redirect(path: str, *, cookies: tuple[str, ...] = ()) -> Response:
    """Send a browser to a path of this instance with GET."""
    return Response(303, headers={"Location": path}, cookies=cookies)
