"""What is sent to an agent, what comes back, and who is told: messages, answers, sensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct

from midspan.records import Record, RecordTransaction
from midspan_link.parameters import Results
from midspan_link.protocol import Secret

AGENT_PREFIX = "mid.server."
CREDENTIAL = "credential"
"""The parameter that names the credential to seal for the agent that claims the job."""
OUTCOME_UNKNOWN = "outcome_unknown"


class EccMessage(Struct, frozen=True, kw_only=True):
    """One job for an agent, named by ``agent`` or found by ``capability``.

    ``parameters`` hold no secret; ``CREDENTIAL`` names one. ``priority`` 0 goes before 1 before 2.
    A job that is not ``repeatable`` runs at most once.
    """

    topic: str
    parameters: Mapping[str, str]
    agent: str = ""
    capability: str = ""
    name: str = ""
    source: str = ""
    correlator: str = ""
    priority: int = 2
    repeatable: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """The end of a job as its sensor gets it, in the transaction that ends it.

    ``state`` is ``processed`` or ``error``. Blocks are stored under ``output`` and ``fence`` until
    ``EccQueue.drop_blocks``; there are none after an error.
    """

    output: Record
    input_id: str
    state: str
    fence: int
    results: Results | None = None
    blocks: int = 0
    rows: int = 0
    error_code: str = ""
    error_string: str = ""


Sensor: TypeAlias = Callable[[RecordTransaction, Answer], None]
"""Reacts to the end of jobs of one topic. Long work is queued, not done here; an error of a sensor
is noted on the input and takes back only what the sensor wrote."""


class Secrets(Protocol):
    """Where the clear text of a credential comes from."""

    def find(self, transaction: RecordTransaction, alias: str, mid_sys_id: str) -> Secret | None:
        """Return the secret that this agent may have for an alias, or None."""
        ...
