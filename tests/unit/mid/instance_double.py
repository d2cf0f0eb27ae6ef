"""The instance's side of the relay protocol in memory: checks signatures, fences, block order."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from midspan_link import protocol, sealing, signing
from midspan_link.blocks import Block, decode_block, decode_rows
from midspan_link.errors import LinkError, SignatureRefused
from midspan_link.parameters import write_parameters

CODE = "one-time-code"


@dataclass
class Mid:
    """What the double knows of an enrolled agent."""

    sys_id: str
    name: str
    signing_key: str
    sealing_key: str
    generation: int = 0
    validated: bool = True


@dataclass
class Offer:
    """One output of the queue and all that came back for it."""

    id: str
    topic: str
    payload: str
    repeatable: bool = False
    name: str = ""
    source: str = ""
    secrets: dict[str, protocol.Secret] = field(default_factory=dict)
    state: str = "ready"
    fence: int = 0
    claims: int = 0
    releases: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    resent: int = 0
    renewals: int = 0
    completion: protocol.Completion | None = None

    @property
    def rows(self) -> list[list[str | None]]:
        """All rows of the stored blocks."""
        return [
            row
            for block in self.blocks
            for row in decode_rows(block.raw, len(block.header.columns))
        ]


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.status = status
        self.code = code


class InstanceDouble:
    """An ASGI application; ``before`` may fail or delay any request by its path."""

    def __init__(self) -> None:
        self.codes = {CODE}
        self.mids: dict[str, Mid] = {}
        self.offers: dict[str, Offer] = {}
        self.cancel: list[str] = []
        self.heartbeats: list[protocol.Heartbeat] = []
        self.polls: list[protocol.PollRequest] = []
        self.issues: list[str] = []
        self.lease_seconds = 30
        self.pause_ms = 0
        self.longest_wait = 0.2
        self.before: Callable[[str, str], Awaitable[None]] | None = None
        self.after: Callable[[str, str], Awaitable[None]] | None = None
        self._nonces: set[tuple[str, str]] = set()
        self._changed: asyncio.Event | None = None

    def offer(self, topic: str, parameters: dict[str, str] | str, **more: Any) -> Offer:
        """Queue a job; from the loop's own thread, or before anybody polls."""
        payload = parameters if isinstance(parameters, str) else write_parameters(parameters)
        offer = Offer(f"{len(self.offers) + 1:032x}", topic, payload, **more)
        self.offers[offer.id] = offer
        if self._changed is not None:
            self._changed.set()
        return offer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        query = scope["query_string"].decode()
        path = scope["path"]
        headers = {name.decode().title(): value.decode() for name, value in scope["headers"]}
        try:
            if self.before is not None:
                await self.before(scope["method"], path)
            target = f"{path}?{query}" if query else path
            content = signing.SignedContent(scope["method"], target, body)
            answer = await self._answer(content, path, headers, parse_qs(query))
            if self.after is not None:
                await self.after(scope["method"], path)
            status, out = 200, protocol.encode(answer)
        except Refusal as refusal:
            error = {"message": str(refusal), "detail": None, "code": refusal.code}
            status, out = refusal.status, json.dumps({"error": error, "status": "failure"}).encode()
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": kind})
        await send({"type": "http.response.body", "body": out})

    async def _answer(
        self,
        content: signing.SignedContent,
        path: str,
        headers: dict[str, str],
        query: dict[str, list[str]],
    ) -> Any:
        rest = path.removeprefix(protocol.BASE)
        if rest == "/enrol":
            return self._enrol(protocol.decode(content.body, protocol.Enrolment))
        mid = self._verified(content, headers)
        if rest == "/poll":
            return await self._poll(mid, protocol.decode(content.body, protocol.PollRequest))
        if rest == "/heartbeat":
            self.heartbeats.append(protocol.decode(content.body, protocol.Heartbeat))
            return protocol.HeartbeatReply(mid.validated, "Up", datetime.now(UTC))
        match = re.fullmatch(r"/jobs/([0-9a-f]{32})/(\w+)(?:/(\d+))?", rest)
        if match is None:
            raise Refusal(404, "not_found")
        return self._job(match, content, query)

    def _enrol(self, message: protocol.Enrolment) -> protocol.Enrolled:
        if message.code not in self.codes:
            raise Refusal(403, protocol.CODE_CODE_REFUSED, "The code is wrong, expired or used")
        signing.load_verify_key(message.signing_key)
        sealing.load_seal_key(message.sealing_key)
        self.codes.remove(message.code)
        mid = Mid(
            f"{len(self.mids) + 1:032x}", message.name, message.signing_key, message.sealing_key
        )
        self.mids[mid.sys_id] = mid
        return protocol.Enrolled(mid.sys_id, mid.name, "Down")

    def _verified(self, content: signing.SignedContent, headers: dict[str, str]) -> Mid:
        try:
            envelope = signing.read_envelope(headers)
            mid = self.mids.get(envelope.mid_sys_id)
            if mid is None:
                raise Refusal(401, protocol.CODE_UNKNOWN_MID)
            signing.verify(mid.signing_key, content, envelope, datetime.now(UTC))
        except SignatureRefused as refused:
            raise Refusal(401, refused.reason, refused.message) from None
        request = (envelope.mid_sys_id, envelope.nonce)
        if request in self._nonces:
            raise Refusal(401, protocol.CODE_REPLAY)
        self._nonces.add(request)
        if envelope.generation < mid.generation:
            self.issues.append(f"{mid.name}: generation {envelope.generation}")
            raise Refusal(403, protocol.CODE_GENERATION)
        mid.generation = envelope.generation
        return mid

    async def _poll(self, mid: Mid, request: protocol.PollRequest) -> protocol.PollReply:
        self._changed = self._changed or asyncio.Event()
        self.polls.append(request)
        jobs: list[protocol.Job] = []
        deadline = asyncio.get_running_loop().time() + min(self.longest_wait, request.wait_seconds)
        while mid.validated:
            self._changed.clear()
            jobs = self._claim(mid, request)
            left = deadline - asyncio.get_running_loop().time()
            if jobs or self.cancel or left <= 0:
                break
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                continue
        cancel, self.cancel = self.cancel, []
        return protocol.PollReply(
            mid.validated, "Up", datetime.now(UTC), self.lease_seconds, jobs, cancel
        )

    def _claim(self, mid: Mid, request: protocol.PollRequest) -> list[protocol.Job]:
        held = {(entry.job, entry.fence) for entry in request.running}
        jobs: list[protocol.Job] = []
        for offer in self.offers.values():
            lost = offer.state == "processing" and (offer.id, offer.fence) not in held
            if len(jobs) == request.free or not (offer.state == "ready" or lost):
                continue
            if offer.state == "ready":
                self.reclaim(offer)
            jobs.append(self._job_for(mid, offer))
        return jobs

    def reclaim(self, offer: Offer) -> None:
        """Raise the fence: what was sent under the old one is thrown away."""
        offer.state = "processing"
        offer.fence += 1
        offer.claims += 1
        offer.blocks.clear()

    def _job_for(self, mid: Mid, offer: Offer) -> protocol.Job:
        sealed = {
            alias: sealing.seal(
                protocol.encode(secret),
                mid.sealing_key,
                sealing.job_context(mid.sys_id, offer.id, offer.fence, alias),
            )
            for alias, secret in offer.secrets.items()
        }
        return protocol.Job(
            offer.id,
            offer.fence,
            self.lease_seconds,
            offer.topic,
            offer.name,
            offer.source,
            offer.payload,
            sealed,
            offer.repeatable,
        )

    def _job(
        self, match: re.Match[str], content: signing.SignedContent, query: dict[str, list[str]]
    ) -> Any:
        offer = self.offers.get(match[1])
        if offer is None:
            raise Refusal(404, protocol.CODE_JOB_GONE)
        if match[2] == "blocks":
            self._check_fence(offer, int(query["fence"][0]))
            if content.method == "POST":
                self._store(offer, int(match[3]), content.body)
            return protocol.BlockReply(len(offer.blocks), self.pause_ms)
        if match[2] == "renew":
            self._check_fence(offer, protocol.decode(content.body, protocol.Renewal).fence)
            offer.renewals += 1
            return protocol.RenewalReply(self.lease_seconds)
        if match[2] == "release":
            message = protocol.decode(content.body, protocol.Release)
            self._check_fence(offer, message.fence)
            offer.releases.append(message.reason)
            offer.state = "ready"
            return protocol.Acknowledged()
        return self._complete(offer, protocol.decode(content.body, protocol.Completion))

    def _complete(self, offer: Offer, message: protocol.Completion) -> protocol.Acknowledged:
        if message.fence != offer.fence:
            raise Refusal(409, protocol.CODE_FENCE_LOST)
        if offer.completion is not None:
            return protocol.Acknowledged()
        self._check_fence(offer, message.fence)
        if message.state == "processed":
            digest = protocol.output_digest(block.header.digest for block in offer.blocks)
            if (message.blocks, message.digest) != (len(offer.blocks), digest):
                raise Refusal(409, "incomplete")
        else:
            offer.blocks.clear()
        offer.completion = message
        offer.state = message.state
        return protocol.Acknowledged()

    def _store(self, offer: Offer, number: int, frame: bytes) -> None:
        try:
            block = decode_block(frame)
        except LinkError as error:
            raise Refusal(400, "invalid_block", error.message) from None
        if block.header.number != number or number > len(offer.blocks):
            return
        if number < len(offer.blocks):
            offer.resent += 1
            if offer.blocks[number].header.digest != block.header.digest:
                raise Refusal(409, protocol.CODE_BLOCK_CONFLICT)
            return
        offer.blocks.append(block)

    def _check_fence(self, offer: Offer, fence: int) -> None:
        if fence != offer.fence or offer.state != "processing":
            raise Refusal(409, protocol.CODE_FENCE_LOST)


async def _body(receive: Any) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
