"""The agents' side of HTTP (``midspan_link.protocol``), and the administrator's words about agents.

Agents prove each request with a signature of their own key. Headers and key are looked at before a
byte of the body is read; body, clock, nonce and generation before anything is done. Nonces are
rows, so that no other node and no later start of this one accepts a request again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from msgspec import Struct

from midspan.api.app import in_thread
from midspan.api.errors import BodyTooLarge
from midspan.api.middescription import agent_descriptions
from midspan.api.request import Request
from midspan.api.response import JSON, Response, json_response
from midspan.api.router import Public, Role, Route
from midspan.dictionary.values import datetime_text
from midspan.ecc.enrolment import Enrolments, MidServer
from midspan.ecc.errors import (
    AgentRefused,
    BlockConflict,
    BlockRefused,
    CodeRefused,
    GenerationStale,
    Incomplete,
    JobFenceLost,
    JobGone,
    NotValidated,
)
from midspan.ecc.queue import EccQueue, Offer
from midspan.kernel.clock import Clock
from midspan.kernel.errors import MalformedBody, MidspanError
from midspan_link import protocol, signing
from midspan_link.blocks import MAX_FRAME
from midspan_link.errors import LinkError, SignatureRefused

ADMIN = "/api/midspan/v1/mid"
SIGNED = "Signed with the agent's own key; the handler verifies it before it does anything."
ENROL = "The one-time code in the body is the credential; it is good once, for 15 minutes."
LARGEST_ENROLMENT = 64 * 1024
LARGEST_POLL = 1024 * 1024
LARGEST_RESULT = 8 * protocol.MAX_RESULT
_LOOK_AGAIN = 1.0
_UNKNOWN_WAITS = 3
_ID = re.compile(r"[0-9a-f]{32}")
_STATUS: tuple[tuple[type[MidspanError], int], ...] = (
    (AgentRefused, 401),
    (CodeRefused, 403),
    (GenerationStale, 403),
    (NotValidated, 403),
    (JobGone, 404),
    (JobFenceLost, 409),
    (BlockConflict, 409),
    (Incomplete, 409),
    (BlockRefused, 400),
)

Message = TypeVar("Message", bound=Struct)


@dataclass(frozen=True)
class MidSigned(Public):
    """An enrolled agent; users' credentials are not looked at, its signature is."""

    reason: str = SIGNED


class MidParts(Struct, frozen=True):
    """What these routes work with."""

    enrolments: Enrolments
    queue: EccQueue
    clock: Clock


class Verified(Struct, frozen=True):
    """Who sent a request, and its body."""

    mid: MidServer
    body: bytes


SignedHandler = Callable[[Request, Verified], Awaitable[Struct]]


def mid_routes(parts: MidParts) -> tuple[Route, ...]:
    """Return the routes of agents and those that an administrator uses."""
    agents = _Agents(parts)
    admin = _Administrators(parts)
    described = agent_descriptions(SHOWN)

    def signed(name: str, path: str, handler: SignedHandler, limit: int) -> Route:
        return Route(
            name=f"mid.{name}",
            methods=("GET",) if name == "next_block" else ("POST",),
            path=protocol.BASE + path,
            handler=agents.signed(handler, limit),
            access=MidSigned(),
            description=described[name],
            max_body=limit,
            stream_body=True,
        )

    def administered(name: str, method: str, handler: Callable[[Request], Response]) -> Route:
        return Route(
            name=f"mid.{name}",
            methods=(method,),
            path=f"{ADMIN}/{name}",
            handler=handler,
            access=Role("admin"),
            description=described[name],
        )

    small = 64 * 1024
    return (
        Route(
            name="mid.enrol",
            methods=("POST",),
            path=f"{protocol.BASE}/enrol",
            handler=agents.enrol,
            access=Public(ENROL),
            description=described["enrol"],
            max_body=LARGEST_ENROLMENT,
            stream_body=True,
        ),
        signed("poll", "/poll", agents.poll, LARGEST_POLL),
        signed("heartbeat", "/heartbeat", agents.heartbeat, small),
        signed("renew", "/jobs/{id}/renew", agents.renew, small),
        signed("release", "/jobs/{id}/release", agents.release, small),
        signed("next_block", "/jobs/{id}/blocks", agents.next_block, 0),
        signed("put_block", "/jobs/{id}/blocks/{number}", agents.put_block, MAX_FRAME),
        signed("complete", "/jobs/{id}/complete", agents.complete, LARGEST_RESULT),
        administered("code", "POST", admin.code),
        administered("list", "GET", admin.list_agents),
        administered("validate", "POST", admin.validate),
        administered("invalidate", "POST", admin.invalidate),
        administered("withdraw", "POST", admin.withdraw),
    )


class _Agents:
    """What agents may ask."""

    def __init__(self, parts: MidParts) -> None:
        self._enrolments = parts.enrolments
        self._queue = parts.queue
        self._clock = parts.clock

    def signed(
        self, handler: SignedHandler, limit: int
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return a handler that verifies, then calls ``handler`` and encodes its answer."""

        async def handle(request: Request) -> Response:
            try:
                verified = await self._verified(request, limit)
                return _answer(await handler(request, verified))
            except (MidspanError, LinkError) as error:
                return _refusal(error)

        return handle

    async def enrol(self, request: Request) -> Response:
        """Take an agent in."""
        try:
            body = await _read(request, LARGEST_ENROLMENT)
            message = protocol.decode(body, protocol.Enrolment)
            _check_protocol(message.protocol)
            return _answer(await in_thread(self._enrolments.enrol, message))
        except (MidspanError, LinkError) as error:
            return _refusal(error)

    async def poll(self, request: Request, verified: Verified) -> Struct:
        """Hand out jobs, as soon as there are any."""
        message = protocol.decode(verified.body, protocol.PollRequest)
        _check_protocol(message.protocol)
        status = await in_thread(self._enrolments.seen, verified.mid)
        mid, offer = await self._wait(verified.mid, message)
        return protocol.PollReply(
            validated=mid.validated,
            status=status,
            server_time=self._clock.now(),
            lease_seconds=self._queue.lease_seconds,
            jobs=offer.jobs,
            cancel=offer.cancel,
        )

    async def heartbeat(self, request: Request, verified: Verified) -> Struct:
        """Store how the agent is."""
        message = protocol.decode(verified.body, protocol.Heartbeat)
        status = await in_thread(self._enrolments.heartbeat, verified.mid, message)
        return protocol.HeartbeatReply(verified.mid.validated, status, self._clock.now())

    async def renew(self, request: Request, verified: Verified) -> Struct:
        """Keep a job."""
        message = protocol.decode(verified.body, protocol.Renewal)
        mid, job = _at_work(request, verified)
        return protocol.RenewalReply(await in_thread(self._queue.renew, mid, job, message.fence))

    async def release(self, request: Request, verified: Verified) -> Struct:
        """Take a job back."""
        message = protocol.decode(verified.body, protocol.Release)
        mid, job = _at_work(request, verified)
        await in_thread(self._queue.release, mid, job, message)
        return protocol.Acknowledged()

    async def next_block(self, request: Request, verified: Verified) -> Struct:
        """Tell which block is wanted."""
        mid, job = _at_work(request, verified)
        fence = _number(request.parameter("fence"))
        return protocol.BlockReply(await in_thread(self._queue.next_block, mid, job, fence))

    async def put_block(self, request: Request, verified: Verified) -> Struct:
        """Store a block."""
        mid, job = _at_work(request, verified)
        fence = _number(request.parameter("fence"))
        number = _number(request.arguments["number"])
        wanted = await in_thread(self._queue.put_block, mid, job, fence, number, verified.body)
        return protocol.BlockReply(wanted)

    async def complete(self, request: Request, verified: Verified) -> Struct:
        """End a job."""
        message = protocol.decode(verified.body, protocol.Completion)
        mid, job = _at_work(request, verified)
        await in_thread(self._queue.complete, mid, job, message)
        return protocol.Acknowledged()

    async def _wait(self, mid: MidServer, message: protocol.PollRequest) -> tuple[MidServer, Offer]:
        """Look for jobs until there are some or the time is up.

        A new job of this process wakes at once; those of other processes are found each second. An
        agent that nobody vouches for is told so sooner.
        """
        loop = asyncio.get_running_loop()
        patience = message.wait_seconds if mid.validated else _UNKNOWN_WAITS
        deadline = loop.time() + min(message.wait_seconds, patience)
        vouched = mid.validated
        event = asyncio.Event()
        signal = self._queue.signal

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(event.set)

        with signal.listening(wake):
            while True:
                event.clear()
                mid, offer = await in_thread(self._look, mid, message)
                left = deadline - loop.time()
                news = offer.jobs or offer.cancel or mid.validated != vouched
                if news or left <= 0 or signal.closed:
                    return mid, offer
                with suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), min(left, _LOOK_AGAIN))

    def _look(self, mid: MidServer, message: protocol.PollRequest) -> tuple[MidServer, Offer]:
        fresh = self._enrolments.find(mid.sys_id)
        if fresh.validated and self._queue.has_news(fresh, message):
            return fresh, self._queue.claim(fresh, message)
        return fresh, Offer([], [])

    async def _verified(self, request: Request, limit: int) -> Verified:
        """Return the sender of a request and its body.

        Raises:
            AgentRefused, SignatureRefused, GenerationStale: it was not proved.
            BodyTooLarge: nothing more was read.
        """
        envelope = signing.read_envelope(request.headers)
        mid = await in_thread(self._enrolments.find, envelope.mid_sys_id)
        body = await _read(request, limit)
        query = "&".join(f"{name}={value}" for name, value in request.query)
        target = f"{request.path}?{query}" if query else request.path
        content = signing.SignedContent(request.sent_method, target, body)
        await in_thread(self._check, mid, content, envelope)
        return Verified(mid, body)

    def _check(
        self, mid: MidServer, content: signing.SignedContent, envelope: signing.Envelope
    ) -> None:
        signing.verify(mid.signing_key, content, envelope, self._clock.now())
        self._enrolments.admit(mid, envelope)
        self._enrolments.check_generation(mid, envelope.generation)


class _Administrators:
    """What administrators say about agents; answers are ``{"result": …}``."""

    def __init__(self, parts: MidParts) -> None:
        self._enrolments = parts.enrolments
        self._queue = parts.queue

    def code(self, request: Request) -> Response:
        """Issue a code: ``{"name"}`` → ``{"code", "name", "expires"}``."""
        issued = self._enrolments.issue_code(_name(request), request.actor)
        shown = {"code": issued.code, "name": issued.name, "expires": datetime_text(issued.expires)}
        return json_response({"result": shown}, 201)

    def list_agents(self, request: Request) -> Response:
        """List the agents by name."""
        agents = self._enrolments.agents(request.actor)
        return json_response(
            {
                "result": [
                    {"sys_id": agent.sys_id, **{name: agent.get(name) for name in SHOWN}}
                    for agent in agents
                ]
            }
        )

    def validate(self, request: Request) -> Response:
        """Vouch for an agent: ``{"name"}``."""
        return self._said(request, self._enrolments.validate, "validated")

    def invalidate(self, request: Request) -> Response:
        """Take the word back: ``{"name"}``."""
        return self._said(request, self._enrolments.invalidate, "no")

    def withdraw(self, request: Request) -> Response:
        """Make an agent's key void for good: ``{"name"}``."""
        return self._said(request, self._enrolments.withdraw, "no")

    def _said(self, request: Request, word: Callable[..., str], validated: str) -> Response:
        name = _name(request)
        sys_id = word(name, request.actor)
        self._queue.signal.fire()
        return json_response({"result": {"sys_id": sys_id, "name": name, "validated": validated}})


SHOWN = (
    "name", "status", "validated", "paused", "host_name", "ip_address", "version",
    "last_refreshed", "jobs_running", "jobs_free", "spool_jobs", "spool_bytes",
)  # fmt: skip


def _name(request: Request) -> str:
    try:
        body = msgspec.json.decode(request.body, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody('Expected {"name": "…"}', detail=str(error)) from error
    if set(body) != {"name"} or not body["name"].strip():
        raise MalformedBody('Expected {"name": "…"} and nothing else')
    return body["name"].strip()


def _at_work(request: Request, verified: Verified) -> tuple[MidServer, str]:
    """Return the agent and the job of the path."""
    job = request.arguments["id"]
    if not verified.mid.validated:
        raise NotValidated(f"{verified.mid.name} is not validated", hint="Ask an administrator.")
    if not _ID.fullmatch(job):
        raise JobGone("The path names no job")
    return verified.mid, job


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise MalformedBody("A number in the path is not a whole number")
    return int(text)


def _check_protocol(version: int) -> None:
    if version != protocol.PROTOCOL:
        raise _OtherProtocol(
            f"This instance speaks version {protocol.PROTOCOL} of the protocol, not {version}",
            hint="Install an agent of the instance's release.",
        )


class _OtherProtocol(MalformedBody):
    """The agent speaks another version of the protocol."""

    code = "MS120"
    wire = protocol.CODE_PROTOCOL


async def _read(request: Request, limit: int) -> bytes:
    announced = request.announced or 0
    if announced > limit:
        raise BodyTooLarge(announced, limit)
    parts: list[bytes] = []
    size = 0
    if request.stream is not None:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise BodyTooLarge(size, limit)
            parts.append(part)
    return b"".join(parts)


def _answer(message: Struct) -> Response:
    return Response(200, protocol.encode(message), JSON)


def _refusal(error: MidspanError | LinkError) -> Response:
    """Return what the protocol says for an error; others are as for every caller."""
    if isinstance(error, SignatureRefused):
        return _error(401, error.reason, error.message, error.hint)
    if isinstance(error, LinkError):
        return _error(400, "invalid", error.message, error.hint)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 0)
    if status:
        return _error(status, getattr(error, "wire", ""), error.message, error.hint)
    if isinstance(error, BodyTooLarge):
        return _error(413, "too_large", error.message, error.detail)
    if isinstance(error, MalformedBody):
        return _error(400, getattr(error, "wire", "invalid"), error.message, error.hint)
    raise error


def _error(status: int, code: str, message: str, detail: str | None) -> Response:
    body = protocol.ErrorBody(protocol.ErrorDetail(message, detail, code))
    return Response(status, protocol.encode(body), JSON)
