"""The agent's side of the protocol: signed requests, answers read strictly, refusals sorted."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeVar

import httpx
import msgspec
from msgspec import Struct

from midspan_link import protocol, signing
from midspan_link.errors import InvalidMessage
from midspan_mid.clock import Clock
from midspan_mid.errors import (
    EnrolmentRefused,
    FenceLost,
    IdentityRefused,
    InstanceRefused,
    InstanceUnavailable,
)
from midspan_mid.identity import Identity
from midspan_mid.state import AgentState

Answer = TypeVar("Answer", bound=Struct)

_STOP = frozenset({protocol.CODE_GENERATION, protocol.CODE_UNKNOWN_MID})
_FORGET = frozenset({protocol.CODE_FENCE_LOST, protocol.CODE_JOB_GONE})
_AGAIN = frozenset({protocol.CODE_CLOCK, protocol.CODE_REPLAY, protocol.CODE_SIGNATURE})


def new_nonce() -> str:
    """Return 24 random URL-safe characters."""
    return secrets.token_urlsafe(18)


def make_http(url: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Return the HTTP client for one instance; the environment's proxy settings apply."""
    return httpx.AsyncClient(
        base_url=url.rstrip("/"),
        transport=transport,
        follow_redirects=False,
        timeout=httpx.Timeout(30, connect=10),
        headers={"user-agent": "midspan-mid"},
    )


async def enrol(http: httpx.AsyncClient, message: protocol.Enrolment) -> protocol.Enrolled:
    """Introduce the agent; the code is used up by the first success.

    Raises:
        EnrolmentRefused: a wrong, expired or used code.
        InstanceUnavailable, InstanceRefused: as for every request.
    """
    response = await _exchange(
        http, "POST", f"{protocol.BASE}/enrol", protocol.encode(message), {"content-type": _JSON}
    )
    if response.status_code in (401, 403):
        raise EnrolmentRefused(
            f"The instance refuses the enrolment: {_error(response).message}",
            hint="Ask an administrator for a new code: midspan mid code",
        )
    return _read(response, protocol.Enrolled)


_JSON = "application/json"


class InstanceClient:
    """Signed requests of one enrolled agent in one generation."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        identity: Identity,
        state: AgentState,
        clock: Clock,
        nonce: Callable[[], str] = new_nonce,
    ) -> None:
        self.state = state
        self._http = http
        self._identity = identity
        self._clock = clock
        self._nonce = nonce

    async def poll(self, request: protocol.PollRequest) -> protocol.PollReply:
        """Ask for jobs; waits up to ``wait_seconds``. Errors: see ``_send``."""
        return await self._send(f"{protocol.BASE}/poll", request, protocol.PollReply)

    async def heartbeat(self, message: protocol.Heartbeat) -> protocol.HeartbeatReply:
        """Report how the agent is."""
        return await self._send(f"{protocol.BASE}/heartbeat", message, protocol.HeartbeatReply)

    async def renew(self, job: protocol.Job) -> protocol.RenewalReply:
        """Keep the job for another lease."""
        path = protocol.job_path(job.id, "renew")
        return await self._send(path, protocol.Renewal(job.fence), protocol.RenewalReply)

    async def release(self, job: protocol.Job, reason: str) -> None:
        """Hand the job back, to be offered again."""
        path = protocol.job_path(job.id, "release")
        await self._send(path, protocol.Release(job.fence, reason), protocol.Acknowledged)

    async def next_block(self, job: protocol.Job) -> protocol.BlockReply:
        """Ask which block the instance wants next."""
        target = protocol.blocks_path(job.id, job.fence)
        return _read(await self._signed("GET", target, b"", {}), protocol.BlockReply)

    async def send_block(self, job: protocol.Job, number: int, frame: bytes) -> protocol.BlockReply:
        """Send one block; sending it again is harmless."""
        target = protocol.blocks_path(job.id, job.fence, number)
        headers = {"content-type": protocol.BLOCK_TYPE}
        return _read(await self._signed("POST", target, frame, headers), protocol.BlockReply)

    async def complete(self, job: protocol.Job, message: protocol.Completion) -> None:
        """Report the end of the job; sending it again is harmless."""
        path = protocol.job_path(job.id, "complete")
        await self._send(path, message, protocol.Acknowledged)

    async def _send(self, target: str, message: Struct, kind: type[Answer]) -> Answer:
        """Send one JSON message and read the answer.

        Raises:
            InstanceUnavailable: no usable answer; the same message may be sent again.
            InstanceRefused: this message is refused for good.
            FenceLost: the job is somebody else's, or gone.
            IdentityRefused: the agent must stop.
        """
        body = protocol.encode(message)
        return _read(await self._signed("POST", target, body, {"content-type": _JSON}), kind)

    async def _signed(
        self, method: str, target: str, body: bytes, headers: dict[str, str]
    ) -> httpx.Response:
        envelope = signing.Envelope(
            mid_sys_id=self.state.mid_sys_id,
            generation=self.state.generation,
            timestamp=int(self._clock.now().timestamp()),
            nonce=self._nonce(),
        )
        content = signing.SignedContent(method, target, body)
        signed = signing.sign(self._identity.signing_key, content, envelope)
        return await _exchange(self._http, method, target, body, headers | signed)


async def _exchange(
    http: httpx.AsyncClient, method: str, target: str, body: bytes, headers: dict[str, str]
) -> httpx.Response:
    try:
        async with http.stream(method, target, content=body, headers=headers) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > protocol.MAX_MESSAGE:
                    raise InstanceUnavailable(f"The instance's answer to {target} is too large")
    except httpx.HTTPError as error:
        raise InstanceUnavailable(
            f"The instance {http.base_url} does not answer: {type(error).__name__} {error}".rstrip()
        ) from None
    return httpx.Response(response.status_code, headers=_plain(response), content=b"".join(parts))


def _plain(response: httpx.Response) -> dict[str, str]:
    kind = response.headers.get("content-type")
    return {"content-type": kind} if kind else {}


def _read(response: httpx.Response, kind: type[Answer]) -> Answer:
    if response.status_code != 200:
        raise _refusal(response)
    try:
        return protocol.decode(response.content, kind)
    except InvalidMessage as error:
        raise InstanceUnavailable(
            f"The instance's answer cannot be used: {error.message}",
            hint="Is url the address of a Midspan instance, of a version that fits this agent?",
        ) from None


def _refusal(response: httpx.Response) -> Exception:
    error = _error(response)
    text = f"{response.status_code} {error.message}".strip()
    if error.code in _FORGET:
        return FenceLost(text)
    if error.code in _STOP:
        return IdentityRefused(
            f"The instance refuses this agent: {text}",
            hint="Another process runs with a copy of this identity, or the agent was withdrawn. "
            "Ask an administrator; enrol again in a new home if needed.",
        )
    # Without one of our codes the answer is a proxy's or another server's: the spool is kept.
    again = error.code in _AGAIN or not error.code or response.status_code >= 500
    if again or response.status_code in (408, 425, 429):
        return InstanceUnavailable(f"The instance cannot take this now: {text}")
    return InstanceRefused(f"The instance refuses this: {text}")


def _error(response: httpx.Response) -> protocol.ErrorDetail:
    try:
        return msgspec.json.decode(response.content, type=protocol.ErrorBody).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return protocol.ErrorDetail(message=response.reason_phrase)
