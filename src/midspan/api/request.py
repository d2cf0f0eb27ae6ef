"""A request as handlers see it: decoded, identified, with its body read."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from msgspec import Struct, structs
from starlette.datastructures import Headers
from starlette.types import Scope

from midspan.api.parts import ApiParts
from midspan.kernel.errors import InvalidRequest, MalformedBody
from midspan.records import PROPERTIES, RecordTransaction, Snapshot
from midspan.security import GUEST, Actor, Limit, OriginRule

MAX_PARAMETERS = 1_000
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_TRUE = "true"
SHORT = 2_000
"""Bytes of a query string up to which it is remembered; clients repeat theirs."""


Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""The names and values of a query string, in their order."""


class KnownHeaders(Headers):
    """The headers of a request, decoded once: every stage asks for some."""

    def __init__(self, scope: Scope) -> None:
        self._list = list(scope["headers"])
        # The last one written wins, and of several with one name the first one counts.
        self._texts = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in reversed(self._list)
        }

    def __getitem__(self, key: str) -> str:
        """Return the value of the first header with this name."""
        return self._texts[key.lower()]

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a header with this name."""
        return isinstance(key, str) and key.lower() in self._texts

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of the first header with this name, or ``default``."""
        return self._texts.get(key.lower(), default)


class Identity(Struct, frozen=True):
    """Who sent a request, and how that was proved."""

    actor: Actor
    scheme: str = ""
    """``basic``, ``session`` or the name of another scheme; empty for nobody."""
    csrf: str = ""
    """With ``session``: the token that writes must repeat in X-UserToken."""
    began_with: str = ""
    """With ``session``: the scheme that it was got by, where that was not the sign-in form."""
    client: str = ""
    """With ``oauth``: the sys_id of the client that has the token."""


NOBODY = Identity(GUEST)


class Request(Struct, frozen=True):
    """One HTTP request; immutable, so that each stage returns the next."""

    parts: ApiParts
    id: str
    """12 hexadecimal characters, also X-Transaction-ID and in every log line."""
    method: str
    path: str
    """Decoded once and checked; starts with a slash and never ends with one."""
    query: Pairs
    headers: Headers
    base_url: str
    """Scheme and host that absolute links start with, without a slash at the end."""
    sent_method: str = ""
    """The method on the wire where X-HTTP-Method-Override changed it."""
    brief: bool = False
    """Whether the query is short enough that what follows from it is worth remembering."""
    query_text: str = ""
    """What stood behind the question mark, as it was sent."""
    sent_query: Pairs = ()
    """The query on the wire where a short address stood for another one."""
    arguments: Mapping[str, str] = {}
    address: str = ""
    """Of the client, as far as the peer or its proxy can be trusted to say."""
    identity: Identity = NOBODY
    shared: OriginRule | None = None
    """The rule under which a page of another site may see the answer."""
    limit: Limit | None = None
    """The rate limit that it came under."""
    body: bytes = b""
    stream: Callable[[], AsyncIterator[bytes]] | None = None
    """Reads the body piece by piece, for routes with ``stream_body``."""
    joined: RecordTransaction | None = None
    """The transaction that its effect belongs to, where somebody else has opened one."""

    @property
    def actor(self) -> Actor:
        """Who sent it; ``GUEST`` for nobody."""
        return self.identity.actor

    @property
    def snapshot(self) -> Snapshot:
        """The current configuration."""
        return self.parts.records.holder.current()

    @property
    def by_https(self) -> bool:
        """Tell whether the client reached the instance by https, as far as is known."""
        return self.parts.secure or self.base_url.startswith("https:")

    def writing(self) -> AbstractContextManager[RecordTransaction]:
        """Open a transaction for the effect of the request, or join the one that is open."""
        if self.joined is not None:
            return nullcontext(self.joined)
        return self.parts.records.write(self.actor)

    def parameter(self, name: str, default: str = "") -> str:
        """Return a query parameter, the last one if it was given twice."""
        return last_of(self.query, name, default)

    def flag(self, name: str) -> bool:
        """Tell whether a query parameter is ``true``, in any case."""
        return is_true(self.parameter(name))

    def header_flag(self, name: str) -> bool:
        """Tell whether a header is ``true``, in any case."""
        return is_true(self.headers.get(name, ""))

    @property
    def announced(self) -> int | None:
        """How many bytes the body is said to have; None when nothing is said.

        Raises:
            MalformedBody: it is not a number.
        """
        text = self.headers.get("content-length", "")
        if not text:
            return None
        if not (text.isascii() and text.isdecimal()):
            raise MalformedBody("Content-Length is not a number")
        return int(text[:18])  # more digits say nothing more, and int() refuses thousands

    def property(self, name: str, default: str = "") -> str:
        """Return a system property; ``default`` when it is not set or empty."""
        return self.snapshot.part(PROPERTIES).get(name) or default

    def property_flag(self, name: str) -> bool:
        """Tell whether a system property is ``true``."""
        return is_true(self.property(name))

    def form(self) -> dict[str, str]:
        """Return the fields of an ``application/x-www-form-urlencoded`` body."""
        return dict(form_pairs(self.body.decode("utf-8", "replace")))

    def replace(self, **changes: Any) -> Request:
        """Return the request with some attributes changed."""
        return structs.replace(self, **changes)


def last_of(pairs: Pairs, name: str, default: str = "") -> str:
    """Return the value of a parameter, the last one if it was given twice."""
    for key, value in reversed(pairs):
        if key == name:
            return value
    return default


def is_true(text: str) -> bool:
    """Tell whether the text of a flag is ``true``, in any case."""
    return text.strip().lower() == _TRUE


def query_pairs(raw: bytes) -> Pairs:
    """Decode a query string; empty values are kept.

    >>> query_pairs(b"a=1&b=x%20y+z&c=")
    (('a', '1'), ('b', 'x y z'), ('c', ''))

    Raises:
        InvalidRequest: more than 1,000 parameters, or a NUL character in one.
    """
    return _remembered_pairs(raw) if len(raw) <= SHORT else _query_pairs(raw)


def _query_pairs(raw: bytes) -> Pairs:
    pairs = tuple(form_pairs(raw.decode("utf-8", "replace")))
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise InvalidRequest(
            "Exception while reading request", detail="A parameter holds a NUL character"
        )
    return pairs


_remembered_pairs = lru_cache(maxsize=512)(_query_pairs)


def form_pairs(text: str) -> list[tuple[str, str]]:
    """Decode the pairs of a query string or form; empty values are kept.

    Raises:
        InvalidRequest: more than 1,000 of them.
    """
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise InvalidRequest(
            "Exception while reading request",
            detail=f"More than {MAX_PARAMETERS} parameters are not accepted",
        ) from error


def base_url(parts: ApiParts, headers: Headers, server: str) -> str:
    """Return what absolute links of an answer start with.

    A configured public URL wins; X-Forwarded-* count only behind a proxy that sets them; otherwise
    the Host header decides, or ``server`` when that is missing or malformed. What the server says
    of the scheme is not asked, because some take it from X-Forwarded-Proto of any local peer.
    """
    if parts.public_url:
        return parts.public_url.rstrip("/")
    host = headers.get("host", "")
    scheme = "https" if parts.secure else "http"
    if parts.behind_proxy:
        scheme, host = _forwarded(headers, scheme, host)
    return _origin(scheme, host, server)


@lru_cache(maxsize=64)
def _origin(scheme: str, host: str, server: str) -> str:
    return f"{scheme}://{host if _HOST.fullmatch(host) else server}"


def client_address(parts: ApiParts, headers: Headers, peer: str) -> str:
    """Return the address of the client: the peer's, behind a proxy what that one says last."""
    if not parts.behind_proxy:
        return peer
    return headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or peer


def _forwarded(headers: Headers, scheme: str, host: str) -> tuple[str, str]:
    proto = _first(headers.get("x-forwarded-proto", "")).lower()
    if proto in ("http", "https"):
        scheme = proto
    forwarded = _first(headers.get("x-forwarded-host", ""))
    if _HOST.fullmatch(forwarded):
        host = forwarded
    port = _first(headers.get("x-forwarded-port", ""))
    usual = {"http": "80", "https": "443"}[scheme]
    if port.isdecimal() and port != usual and not re.search(r":[0-9]+$", host):
        host = f"{host}:{port}"
    return scheme, host


def _first(value: str) -> str:
    return value.split(",")[0].strip()
