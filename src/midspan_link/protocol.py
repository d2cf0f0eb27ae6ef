"""The relay protocol, version 1: paths and messages between agent and instance.

All paths are below ``BASE``. Bodies are JSON except blocks. The agent opens every connection.

====== ============================ ==================== ===============
method path                         body                 answer
====== ============================ ==================== ===============
POST   /enrol                       Enrolment            Enrolled
POST   /poll                        PollRequest          PollReply
POST   /heartbeat                   Heartbeat            HeartbeatReply
POST   /jobs/{id}/renew             Renewal              RenewalReply
POST   /jobs/{id}/release           Release              Acknowledged
GET    /jobs/{id}/blocks?fence=N    none                 BlockReply
POST   /jobs/{id}/blocks/{n}?fence=N one framed block    BlockReply
POST   /jobs/{id}/complete          Completion           Acknowledged
====== ============================ ==================== ===============

Every request but ``/enrol`` is signed (``midspan_link.signing``). A refusal has the body
``ErrorBody``; ``error.code`` is one of the ``CODE_*`` constants where the agent must react.

Fences. Each claim of a job gets a number higher than the one before. A job whose lease has run out
may still be renewed, fed and completed under its fence until it is claimed again or ended; then
every request with the old fence gets 409 ``fence_lost`` and the agent forgets the job. A new fence
starts with no blocks: what an earlier fence sent is thrown away in the same transaction as the
claim.

Blocks are numbered from 0 and accepted in order only. Number ``next`` is stored with its rows in
one transaction. A number below ``next`` is acknowledged again when its bytes are the same and
answered 409 ``block_conflict`` otherwise; a number above ``next`` changes nothing, the answer says
where to go on.

A job that is not repeatable is not claimed anew once it was claimed, unless its agent released it,
which an agent does only before the start. A job that was claimed for an agent and is missing from
``running`` of that agent's next poll was lost on the way: the answer offers it again under the same
fence. This is safe, because the agent writes a job down before it begins.

``blocks`` and ``digest`` of a completion are compared only when ``state`` is ``processed``; blocks
of a job that ended in ``error`` are thrown away. An answer to ``/poll`` stays below
``MAX_MESSAGE``. A generation below the highest seen gets 403 ``generation_stale``, and an issue is
raised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from midspan_link.errors import InvalidMessage

PROTOCOL = 1
BASE = "/api/midspan/mid/v1"
BLOCK_TYPE = "application/vnd.midspan.block"

MAX_MESSAGE = 16 * 1024 * 1024
MAX_RESULT = 512 * 1024
MAX_WAIT_SECONDS = 25
MAX_JOBS = 100

CODE_FENCE_LOST = "fence_lost"  # 409: forget the job
CODE_JOB_GONE = "job_gone"  # 404: forget the job
CODE_BLOCK_CONFLICT = "block_conflict"  # 409: this number is held with other bytes
CODE_GENERATION = "generation_stale"  # 403: a later start of this identity is at work; stop
CODE_UNKNOWN_MID = "unknown_mid"  # 401: no such agent, or its key was withdrawn; stop
CODE_SIGNATURE = "signature"  # 401: see SignatureRefused.reason
CODE_CLOCK = "clock_skew"  # 401: set the clock, try again
CODE_REPLAY = "replay"  # 401: the nonce was used before; sign anew
CODE_CODE_REFUSED = "code_refused"  # 401/403 on /enrol: wrong, expired or used code
CODE_PROTOCOL = "protocol"  # 400: a protocol version the instance does not speak

SysId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
Fence = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Text = Annotated[str, Meta(max_length=4000)]
ResultText = Annotated[str, Meta(max_length=MAX_RESULT)]


class Enrolment(Struct, frozen=True, forbid_unknown_fields=True):
    """The agent introduces itself with a one-time code; both keys are base64 of 32 raw bytes."""

    code: Annotated[str, Meta(min_length=1, max_length=200)]
    name: Name
    signing_key: Annotated[str, Meta(max_length=64)]
    sealing_key: Annotated[str, Meta(max_length=64)]
    host_name: Annotated[str, Meta(max_length=255)] = ""
    ip: Annotated[str, Meta(max_length=64)] = ""
    os: Annotated[str, Meta(max_length=200)] = ""
    version: Annotated[str, Meta(max_length=40)] = ""
    capabilities: Annotated[list[Name], Meta(max_length=100)] = []
    protocol: int = PROTOCOL


class Enrolled(Struct, frozen=True):
    """The agent's record; it gets no job before an administrator has validated it."""

    mid_sys_id: SysId
    name: str
    status: str


class HeldJob(Struct, frozen=True, forbid_unknown_fields=True):
    """A job the agent is working on, and under which fence."""

    job: SysId
    fence: Fence


class PollRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for up to ``free`` jobs of ``topics``; the answer may take ``wait_seconds``."""

    free: Count
    topics: Annotated[list[Name], Meta(max_length=500)]
    running: Annotated[list[HeldJob], Meta(max_length=5000)] = []
    wait_seconds: Annotated[int, Meta(ge=0, le=MAX_WAIT_SECONDS)] = MAX_WAIT_SECONDS
    protocol: int = PROTOCOL


class Job(Struct, frozen=True):
    """One claimed job. ``id`` is the sys_id of its ``ecc_queue`` output.

    ``payload`` is the ``<parameters>`` XML of ``midspan_link.parameters``. ``sealed`` maps a
    credential alias to a secret sealed for this claim (``sealing.job_context``), inside it the JSON
    of ``Secret``.
    """

    id: SysId
    fence: Fence
    lease_seconds: Annotated[int, Meta(ge=1, le=600)]
    topic: Name
    name: Annotated[str, Meta(max_length=4000)] = ""
    source: Annotated[str, Meta(max_length=4000)] = ""
    payload: Annotated[str, Meta(max_length=MAX_RESULT)] = ""
    sealed: dict[str, str] = {}
    repeatable: bool = False
    priority: Annotated[int, Meta(ge=0, le=2)] = 2
    agent_correlator: Annotated[str, Meta(max_length=255)] = ""


class PollReply(Struct, frozen=True):
    """Jobs claimed for the caller; ``cancel`` lists running jobs to give up at once."""

    validated: bool
    status: str
    server_time: datetime
    lease_seconds: Annotated[int, Meta(ge=1, le=600)] = 30
    jobs: Annotated[list[Job], Meta(max_length=MAX_JOBS)] = []
    cancel: list[str] = []


class Renewal(Struct, frozen=True, forbid_unknown_fields=True):
    """Keep the job for another lease."""

    fence: Fence


class RenewalReply(Struct, frozen=True):
    """How long the job is held from now on."""

    lease_seconds: Annotated[int, Meta(ge=1, le=600)]


class Release(Struct, frozen=True, forbid_unknown_fields=True):
    """Hand a job back: it was not started, or it is repeatable and its result is void."""

    fence: Fence
    reason: Text = ""


class BlockReply(Struct, frozen=True):
    """``next``: the block number the instance wants; ``pause_ms``: wait before sending it."""

    next: Count
    pause_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0


class Completion(Struct, frozen=True, forbid_unknown_fields=True):
    """The end of a job; ``processed`` only when ``blocks`` blocks are stored and the digest agrees.

    Repeating it under the same fence is acknowledged again. ``digest`` is ``output_digest`` over
    the blocks. ``result`` is the ``<results>`` XML that becomes the payload of the ``ecc_queue``
    input. ``error_code`` is empty unless ``state`` is ``error``; ``outcome_unknown`` means that the
    effect may have happened and the job must not run again.
    """

    fence: Fence
    state: Literal["processed", "error"]
    blocks: Count
    rows: Count
    digest: Annotated[str, Meta(max_length=64)]
    started: datetime
    duration_ms: Count
    result: ResultText = ""
    error_code: Annotated[str, Meta(max_length=40)] = ""
    error_string: Text = ""


class Acknowledged(Struct, frozen=True):
    """The instance has it, durably."""

    ok: bool = True


class Heartbeat(Struct, frozen=True, forbid_unknown_fields=True):
    """How the agent is; sizes in bytes, ``uptime_seconds`` since its start."""

    version: Annotated[str, Meta(max_length=40)]
    running: Count
    free: Count
    spool_jobs: Count
    spool_bytes: Count
    memory_bytes: Count
    uptime_seconds: Count
    capabilities: list[Name] = []
    protocol: int = PROTOCOL


class HeartbeatReply(Struct, frozen=True):
    """What the instance thinks of the agent."""

    validated: bool
    status: str
    server_time: datetime


class Secret(Struct, frozen=True, omit_defaults=True):
    """What a sealed credential holds; which fields are set depends on its type."""

    user: str = ""
    password: str = ""
    token: str = ""
    header: str = ""

    def __repr__(self) -> str:
        """Hide everything but the user."""
        return f"Secret(user={self.user!r}, ***)"


class ErrorDetail(Struct, frozen=True):
    """The inner part of a refusal."""

    message: str
    detail: str | None = None
    code: str = ""


class ErrorBody(Struct, frozen=True):
    """The body of every refusal."""

    error: ErrorDetail
    status: str = "failure"


Message = TypeVar("Message", bound=Struct)


def encode(message: Struct) -> bytes:
    """Return the message as JSON."""
    return msgspec.json.encode(message)


def decode(body: bytes, kind: type[Message]) -> Message:
    """Read a JSON message strictly.

    Raises:
        InvalidMessage: too large, not JSON, or not of this kind; the message names the place.
    """
    if len(body) > MAX_MESSAGE:
        raise InvalidMessage(f"{kind.__name__} is larger than {MAX_MESSAGE} bytes")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidMessage(f"Not a valid {kind.__name__}: {error}") from None


def output_digest(digests: Iterable[str]) -> str:
    """Return the digest of a job's whole output: SHA-256 over its block digests in order.

    >>> output_digest([])[:8]
    'e3b0c442'
    """
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def blocks_path(job: str, fence: int, number: int | None = None) -> str:
    """Return path and query of a job's blocks, or of block ``number``; the fence is signed with it.

    >>> blocks_path("0" * 32, 3, 0)[-18:]
    '0/blocks/0?fence=3'
    """
    place = "" if number is None else f"/{number}"
    return f"{job_path(job, 'blocks')}{place}?fence={fence}"


def job_path(job: str, action: str) -> str:
    """Return the path of one job's resource.

    >>> job_path("0" * 32, "renew")[-8:]
    '00/renew'
    """
    return f"{BASE}/jobs/{job}/{action}"
