"""What can go wrong between the instance and its agents; ``wire`` is what the agent reads."""

from __future__ import annotations

from midspan.kernel.errors import (
    AccessDenied,
    Conflict,
    FenceLost,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    Unavailable,
)
from midspan_link import protocol


class UnknownAgent(NotFound):
    """No agent has this name or id."""

    code = "MS220"


class CodeRefused(AccessDenied):
    """An enrolment did not succeed; the agent learns no more than that.

    ``reason`` is for the administrator: ``unknown``, ``expired``, ``used`` or ``key``.
    """

    code = "MS320"
    wire = protocol.CODE_CODE_REFUSED

    def __init__(self, reason: str, why: str) -> None:
        super().__init__("The enrolment code is wrong, expired or used")
        self.reason = reason
        self.why = why


class AgentRefused(NotAuthenticated):
    """A request that no living agent signed; ``wire`` is a ``CODE_*`` of the protocol."""

    code = "MS321"

    def __init__(self, wire: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.wire = wire


class GenerationStale(AccessDenied):
    """A later start of the same identity is at work."""

    code = "MS322"
    wire = protocol.CODE_GENERATION


class NotValidated(AccessDenied):
    """The agent is known, and no administrator vouches for it."""

    code = "MS323"
    wire = ""


class JobFenceLost(FenceLost):
    """The job ended or was claimed again under a higher fence."""

    code = "MS420"
    wire = protocol.CODE_FENCE_LOST


class JobGone(NotFound):
    """There is no such job for this agent."""

    code = "MS421"
    wire = protocol.CODE_JOB_GONE


class BlockConflict(Conflict):
    """A block number is held with other bytes."""

    code = "MS422"
    wire = protocol.CODE_BLOCK_CONFLICT


class Incomplete(Conflict):
    """A completion does not agree with the blocks that are stored."""

    code = "MS423"
    wire = "incomplete"


class BlockRefused(InvalidRequest):
    """What was sent is no usable block."""

    code = "MS424"
    wire = "invalid_block"


class NoAgent(Unavailable):
    """No agent can be chosen for a job; the message says what was looked for and why not."""

    code = "MS630"
