"""HTTP as an action sees it: the instance or an agent carries the call, the spoke only words it."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Protocol, TypedDict, Unpack
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from midspan_sdk.errors import (
    ActionError,
    InvalidInputs,
    OutcomeUnknown,
    RetryLater,
    SdkError,
    SignInAgain,
)

_METHOD = re.compile(r"[A-Z]{1,32}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)
_SHOWN = 500


class ConnectionInfo(Struct, frozen=True):
    """The connection the call goes through; never a secret.

    ``auth`` is none, basic, bearer, api_key or webhook. With ``webhook`` the URL itself is the
    secret: ``base_url`` then shows its origin only, and an empty path in a call means the URL.
    ``attributes`` are the connection's extra settings.
    """

    name: str = ""
    base_url: str = ""
    auth: str = "none"
    attributes: dict[str, str] = {}


class HttpRequest(Struct, frozen=True):
    """One call as the transport gets it, ready to be carried by an agent.

    ``url`` is absolute, or a path below the connection's base URL, query included; empty means
    the connection's URL itself. ``key`` is the call's idempotency key, for logs and journal;
    it is sent to the peer only if the spoke puts it into a header. ``timeout`` None: the
    connection's own.
    """

    method: str
    url: str
    headers: dict[str, str] = {}
    content: bytes = b""
    key: str = ""
    timeout: timedelta | None = None


class Headers(Mapping[str, str]):
    """Header fields of a reply; names in any case, repeated fields joined by ``", "``.

    >>> Headers([("Retry-After", "3")])["retry-after"]
    '3'
    """

    def __init__(self, pairs: Mapping[str, str] | Sequence[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
            known = self._values.get(name.lower())
            self._values[name.lower()] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        """Return the value of ``name``; KeyError if the reply has no such field."""
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        """Return whether the reply has the field."""
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in lower case."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of different names."""
        return len(self._values)

    def __repr__(self) -> str:
        """Return the fields as a mapping."""
        return f"Headers({self._values!r})"


class HttpReply:
    """A complete reply: ``status``, ``headers`` and the body as ``content`` (bytes)."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        content: bytes = b"",
    ) -> None:
        self.status = status
        self.headers = Headers(headers)
        self.content = content

    def __repr__(self) -> str:
        """Return status and size; a body may hold what logs must not."""
        return f"HttpReply({self.status}, {len(self.content)} bytes)"

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status <= 299

    @cached_property
    def text(self) -> str:
        """The body in the charset it declares, else UTF-8; what does not decode becomes U+FFFD."""
        match = _CHARSET.search(self.headers.get("content-type", ""))
        try:
            return self.content.decode(match[1] if match else "utf-8", errors="replace")
        except LookupError:
            return self.content.decode("utf-8", errors="replace")

    @cached_property
    def _decoded(self) -> Any:
        try:
            return msgspec.json.decode(self.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ActionError(
                "http.not_json",
                f"Expected JSON, got {len(self.content)} bytes of "
                f"{self.headers.get('content-type', 'no content type')} with HTTP {self.status}",
                detail=f"{error}; begins: {self.text[:_SHOWN]}",
            ) from None

    def json(self) -> Any:
        """Return the body decoded as JSON.

        Raises:
            ActionError: ``http.not_json``, with the beginning of the body as detail.
        """
        return self._decoded

    def __getitem__(self, name: str) -> Any:
        """Return the member ``name`` of the JSON object in the body.

        Raises:
            ActionError: ``http.not_json``, or ``http.unexpected_reply`` without such a member.
        """
        body = self._decoded
        if not isinstance(body, dict) or name not in body:
            raise ActionError(
                "http.unexpected_reply",
                f"Expected a JSON object with {name!r} in a reply with HTTP {self.status}",
                detail=self.text[:_SHOWN],
            )
        return body[name]

    @property
    def retry_after(self) -> timedelta | None:
        """What ``Retry-After`` asks for, never negative; a date counts from the reply's ``Date``.

        >>> HttpReply(429, {"Retry-After": "30"}).retry_after
        datetime.timedelta(seconds=30)
        """
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit() and len(value) <= 9:
            return timedelta(seconds=int(value))
        try:
            until = email.utils.parsedate_to_datetime(value)
            now = email.utils.parsedate_to_datetime(self.headers.get("date", ""))
            return max(until - now, timedelta(0))
        except (TypeError, ValueError):  # not there, no date, or one without a zone
            return None

    def failure(self) -> SdkError | None:
        """Return what the status means for the step, or None for 200 to 299.

        401 → SignInAgain; 429 → RetryLater, since it was not accepted; 408 and 5xx →
        OutcomeUnknown, since it may have been; everything else → ActionError ``http.<status>``.
        """
        if self.ok:
            return None
        if self.status == 401:
            return SignInAgain("The peer refused the credential (HTTP 401)", detail=self._shown)
        if self.status == 429:
            return RetryLater("The peer asks to slow down", self.retry_after, detail=self._shown)
        if self.status == 408 or self.status >= 500:
            text = f"The peer failed with HTTP {self.status}"
            return OutcomeUnknown(text, self.retry_after, detail=self._shown)
        text = f"The peer refused with HTTP {self.status}"
        return ActionError(f"http.{self.status}", text, detail=self._shown)

    def check(self, expect: Collection[int] | None = None) -> HttpReply:
        """Return the reply itself when its status is one of ``expect`` (None: 200 to 299).

        Raises:
            SdkError: as ``failure`` says; ActionError ``http.<status>`` for a success not expected.
        """
        if self.ok if expect is None else self.status in expect:
            return self
        error = self.failure()
        if error is None:
            text = f"Expected HTTP {sorted(expect or ())}, got {self.status}"
            error = ActionError(f"http.{self.status}", text, detail=self._shown)
        raise error

    @property
    def _shown(self) -> str | None:
        return self.text[:_SHOWN] or None


class HttpTransport(Protocol):
    """What carries a call: the instance's outbound path, an agent, or a test."""

    async def send(self, request: HttpRequest) -> HttpReply:
        """Send ``request`` through the connection, credential applied, and return any reply.

        Raises:
            RetryLater: no connection came about; surely nothing was sent.
            OutcomeUnknown: it was sent, at least in part, and no complete reply came.
            SignInAgain: there is no usable credential.
            ActionError: the call is not allowed, or its reply is over the size limit.
        """
        ...


class RequestOptions(TypedDict, total=False):
    """What a call may carry; at most one of ``json``, ``data`` and ``content``.

    ``json``: a Struct or plain data. ``data``: form fields. ``content``: a body as it is, text as
    UTF-8. ``expect``: the statuses that are fine; without it every reply is returned.
    """

    json: Any
    data: Mapping[str, str] | None
    content: bytes | str | None
    headers: Mapping[str, str] | None
    params: Mapping[str, Any] | None
    expect: Collection[int] | None
    timeout: timedelta | None


class ActionHttp:
    """The only way from an action to the world: calls through the step's connection.

    ``group`` is ``run/step-path/iteration/attempt-group``; each call adds ``/call-n``.
    """

    def __init__(self, transport: HttpTransport, group: str = "") -> None:
        self._transport = transport
        self._group = group
        self._calls = 0

    @property
    def next_key(self) -> str:
        """The idempotency key that the next call will have."""
        return f"{self._group}/call-{self._calls + 1}"

    async def request(
        self, method: str, url: str = "", **options: Unpack[RequestOptions]
    ) -> HttpReply:
        """Send one call; ``url`` is a path below the connection's URL, or absolute.

        Raises:
            InvalidInputs: the method, a header or the body cannot be sent.
            SdkError: as ``HttpTransport.send`` and, with ``expect``, ``HttpReply.check``.
        """
        verb = method.upper()
        if not _METHOD.fullmatch(verb):
            raise InvalidInputs(f"{method!r} is not an HTTP method", field="method")
        content, content_type = _body(options)
        headers = _checked(options.get("headers") or {})
        if content_type and "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = content_type
        request = HttpRequest(
            method=verb,
            url=_with_query(url, options.get("params") or {}),
            headers=headers,
            content=content,
            key=self.next_key,
            timeout=options.get("timeout"),
        )
        self._calls += 1
        reply = await self._transport.send(request)
        expect = options.get("expect")
        return reply if expect is None else reply.check(expect)

    async def get(self, url: str = "", **options: Unpack[RequestOptions]) -> HttpReply:
        """Send a GET; see ``request``."""
        return await self.request("GET", url, **options)

    async def post(self, url: str = "", **options: Unpack[RequestOptions]) -> HttpReply:
        """Send a POST; see ``request``."""
        return await self.request("POST", url, **options)

    async def put(self, url: str = "", **options: Unpack[RequestOptions]) -> HttpReply:
        """Send a PUT; see ``request``."""
        return await self.request("PUT", url, **options)

    async def patch(self, url: str = "", **options: Unpack[RequestOptions]) -> HttpReply:
        """Send a PATCH; see ``request``."""
        return await self.request("PATCH", url, **options)

    async def delete(self, url: str = "", **options: Unpack[RequestOptions]) -> HttpReply:
        """Send a DELETE; see ``request``."""
        return await self.request("DELETE", url, **options)


def _body(options: RequestOptions) -> tuple[bytes, str]:
    given = [name for name in ("json", "data", "content") if options.get(name) is not None]
    if len(given) > 1:
        raise InvalidInputs(f"A call has one body, got {' and '.join(given)}", field=given[1])
    if (value := options.get("json")) is not None:
        return msgspec.json.encode(value), "application/json; charset=utf-8"
    if (form := options.get("data")) is not None:
        return urlencode(dict(form)).encode(), "application/x-www-form-urlencoded"
    content = options.get("content") or b""
    return (content.encode() if isinstance(content, str) else content), ""


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise InvalidInputs(f"{name!r} is not a header name", field="headers")
        if any(ord(char) < 32 and char != "\t" for char in value) or "\x7f" in value:
            raise InvalidInputs(f"Header {name} has a control character", field="headers")
    return dict(headers)


def _with_query(url: str, params: Mapping[str, Any]) -> str:
    if not params:
        return url
    path, hash_sign, fragment = url.partition("#")
    query = urlencode({name: _query_value(value) for name, value in params.items()}, doseq=True)
    return f"{path}{'&' if '?' in path else '?'}{query}{hash_sign}{fragment}"


def _query_value(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return [_query_value(each) for each in value] if isinstance(value, (list, tuple)) else value
