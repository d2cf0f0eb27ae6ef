"""One claimed job from its claim to the instance's acknowledgement."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from midspan_link.errors import InvalidMessage, LinkError
from midspan_link.logs import redact
from midspan_link.parameters import Results, clean, read_parameters, write_results
from midspan_link.protocol import Completion, Job, output_digest
from midspan_mid.client import InstanceClient
from midspan_mid.clock import Clock
from midspan_mid.context import JobContext, SpoolingBlocks
from midspan_mid.delivery import Delivery, Sleep
from midspan_mid.errors import FenceLost, InstanceRefused, InstanceUnavailable
from midspan_mid.identity import Identity
from midspan_mid.spool import Spool, SpooledJob
from midspan_mid.state import ExecutedJobs
from midspan_mid.targets import Targets
from midspan_sdk import ActionError, Probe, SdkError
from midspan_sdk.errors import did_you_mean

OUTCOME_UNKNOWN = "outcome_unknown"
CANCELLED = "cancelled"
SHUTDOWN = "shutdown"
_MAX_ERROR = 3900
# Parameters that steer the instance's side and mean nothing to a probe.
_ENVELOPE = frozenset({"skip_sensor", "topic", "agent", "agent_correlator", "ecc_queue"})

_log = logging.getLogger(__name__)


class Workplace(Struct, frozen=True):
    """What all jobs of an agent share; ``places`` bounds the probes at work."""

    client: InstanceClient
    delivery: Delivery
    probes: Mapping[str, Probe]
    targets: Targets
    spool: Spool
    executed: ExecutedJobs
    identity: Identity
    clock: Clock
    places: asyncio.Semaphore
    sleep: Sleep = asyncio.sleep


class Ended(Struct, frozen=True):
    """How a probe ended; an empty ``code`` is success."""

    outputs: dict[str, str] = {}
    code: str = ""
    text: str = ""


class Work:
    """Runs, renews and delivers one spooled job; ``carry`` is its whole life."""

    def __init__(self, place: Workplace, spooled: SpooledJob, *, resumed: bool = False) -> None:
        self.spooled = spooled
        self.job = spooled.job
        self.executing = spooled.completion() is None
        self._place = place
        self._execution: asyncio.Task[dict[str, Any]] | None = None
        self._stopped = ""
        self._resumed = resumed

    def stop(self, code: str) -> None:
        """Break the probe off with ``CANCELLED`` or ``SHUTDOWN``; a result is still sent."""
        self._stopped = self._stopped or code
        if self._execution is not None:
            self._execution.cancel()

    def remember(self) -> None:
        """Note durably that a job which must not run twice was started."""
        if self.spooled.started and not self.job.repeatable:
            self._place.executed.add(self.job.id)

    async def carry(self) -> None:
        """Bring the job to its end: delivered, handed back, forgotten or set aside.

        Raises:
            ExceptionGroup: with ``IdentityRefused`` or an unforeseen error; the spool stays.
        """
        try:
            async with asyncio.TaskGroup() as group:
                renewal = group.create_task(self._renew())
                delivery = group.create_task(self._place.delivery.deliver(self.spooled))
                if await self._execute():
                    await delivery
                else:
                    delivery.cancel()
                renewal.cancel()
            self._forget()
        except* FenceLost as lost:
            _log.warning("job lost: %s", lost.exceptions[0], extra={"job": self.job.id})
            self._forget()
        except* InstanceRefused as refused:
            self.remember()
            kept = self.spooled.set_aside()
            _log.error("result refused: %s", refused.exceptions[0], extra={"kept": str(kept)})

    async def _renew(self) -> None:
        lease = self.job.lease_seconds
        while True:
            await self._place.sleep(lease / 3)
            try:
                lease = (await self._place.client.renew(self.job)).lease_seconds
            except InstanceUnavailable as error:
                _log.warning("lease not renewed: %s", error.message, extra={"job": self.job.id})

    async def _execute(self) -> bool:
        """Store how the job ended and return True, or hand it back and return False."""
        if not self.executing:
            return True
        started = self._place.clock.now()
        stream = SpoolingBlocks(self._place.spool, self.spooled)
        if self.spooled.started or self.job.id in self._place.executed:
            if self.job.repeatable:
                return await self._hand_back("the agent was interrupted")
            text = "The job was started before and how it ended is not known"
            ended = Ended(code=OUTCOME_UNKNOWN, text=text)
        else:
            if self._resumed:  # written down by an earlier process: is it still ours?
                await self._place.delivery.insist(lambda: self._place.client.renew(self.job))
            async with self._place.places:
                ended = await self._run(stream)
        if ended.code == SHUTDOWN:
            if self.job.repeatable or not self.spooled.started:
                return await self._hand_back("the agent stops")
            text = "The agent was stopped while the job ran"
            ended = Ended(code=OUTCOME_UNKNOWN, text=text)
        await self._finish(ended, stream, started)
        return True

    async def _run(self, stream: SpoolingBlocks) -> Ended:
        """Run the probe in a task of its own, so that ``stop`` ends it and not the delivery."""
        probe = self._place.probes.get(self.job.topic)
        if probe is None:
            hint = did_you_mean(self.job.topic, self._place.probes)
            told = f"No probe for {self.job.topic!r} here. {hint or ''}".strip()
            return Ended(code="unknown_topic", text=told)
        try:
            inputs = self._inputs(probe)
        except InvalidMessage as error:
            return Ended(code="invalid_payload", text=error.message)
        if self._stopped:
            return Ended(code=self._stopped, text="The job was not started")
        await asyncio.to_thread(self.spooled.mark_started)
        if self._stopped:  # while the mark was written: nothing runs yet that `stop` could end
            await asyncio.to_thread(self.spooled.unmark_started)
            return Ended(code=self._stopped, text="The job was not started")
        place = self._place
        context = JobContext(
            self.job, place.targets, stream, place.identity, place.client.state.mid_sys_id
        )
        execution = self._execution = asyncio.create_task(probe.run(inputs, context))
        try:
            await asyncio.wait([execution])
        except asyncio.CancelledError:
            execution.cancel()
            await asyncio.wait([execution])
            raise
        if execution.cancelled():
            return Ended(code=self._stopped or CANCELLED, text="The job was stopped")
        failure = execution.exception()
        return _failure(failure) if failure else Ended(_outputs(execution.result()))

    def _inputs(self, probe: Probe) -> dict[str, Any]:
        """Return the payload's parameters; the job's name and source fill fields so called."""
        given: dict[str, Any] = {
            name: value
            for name, value in read_parameters(self.job.payload).items()
            if name not in _ENVELOPE
        }
        fields = {field.name for field in msgspec.structs.fields(probe.request)}
        for name, value in (("name", self.job.name), ("source", self.job.source)):
            if name in fields and value:
                given.setdefault(name, value)
            elif name not in fields:
                given.pop(name, None)
        return given

    async def _finish(self, ended: Ended, stream: SpoolingBlocks, started: datetime) -> None:
        blocks, rows, digest = 0, 0, output_digest([])
        if not ended.code:
            blocks, rows, digest = await stream.finish()
        duration = self._place.clock.now() - started
        millis = max(0, int(duration.total_seconds() * 1000))
        ended, result = _written(ended, self.job, millis)
        completion = Completion(
            fence=self.job.fence,
            state="error" if ended.code else "processed",
            blocks=blocks,
            rows=rows,
            digest=digest,
            started=started,
            duration_ms=millis,
            result=result,
            error_code=ended.code,
            error_string=ended.text,
        )
        await asyncio.to_thread(self.spooled.finish, completion)
        self.executing = False
        self.spooled.changed.set()
        _log.info(
            "job ended",
            extra={"job": self.job.id, "topic": self.job.topic, "code": ended.code, "rows": rows},
        )

    async def _hand_back(self, reason: str) -> bool:
        client = self._place.client
        await self._place.delivery.insist(lambda: client.release(self.job, reason))
        _log.info("job handed back: %s", reason, extra={"job": self.job.id})
        return False

    def _forget(self) -> None:
        self.remember()
        self.spooled.remove()


def _failure(error: BaseException) -> Ended:
    match error:
        case ActionError() | SdkError():
            text = f"{error.message}. {error.detail}" if error.detail else error.message
            return Ended(code=error.code, text=_shortened(text))
        case LinkError():
            return Ended(code=error.code, text=_shortened(error.explain()))
        case _:
            _log.error("probe failed", exc_info=error)
            return Ended(code="probe_failed", text=_shortened(f"{type(error).__name__}: {error}"))


def _written(ended: Ended, job: Job, millis: int) -> tuple[Ended, str]:
    """Return the ``<results>`` text, and how the job ended if that text cannot be made."""
    try:
        parameters = read_parameters(job.payload)
    except InvalidMessage:
        parameters = {}
    results = Results(ended.outputs, parameters, millis, 1 if ended.code else 0, ended.text)
    try:
        return ended, write_results(results)
    except InvalidMessage as error:
        failed = Ended(code="invalid_result", text=f"The result cannot be sent: {error.message}")
        return failed, write_results(Results({}, {}, millis, 1, failed.text))


def _outputs(result: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in result.items()
        if value is not None
    }


def _shortened(text: str) -> str:
    return clean(redact(text))[:_MAX_ERROR]
