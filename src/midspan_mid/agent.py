"""The agent itself: polls, carries jobs, reports its health, ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from midspan_link.protocol import Heartbeat, HeldJob, Job, PollReply, PollRequest
from midspan_mid.access import Resolve, system_resolve
from midspan_mid.backoff import Backoff
from midspan_mid.catalogue import find_probes, permitted
from midspan_mid.client import InstanceClient, make_http, new_nonce
from midspan_mid.clock import Clock, SystemClock
from midspan_mid.config import MidConfig, load_config
from midspan_mid.delivery import Delivery, Sleep
from midspan_mid.errors import FenceLost, IdentityRefused, InstanceRefused, InstanceUnavailable
from midspan_mid.home import Home
from midspan_mid.identity import Identity
from midspan_mid.spool import Spool
from midspan_mid.state import ExecutedJobs, next_generation
from midspan_mid.targets import Targets
from midspan_mid.work import CANCELLED, SHUTDOWN, Work, Workplace
from midspan_sdk import Probe
from midspan_sdk.version import __version__

_FULL_WAIT = 5.0
_QUICK_ANSWER = 0.2
_LAST_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Surroundings(Struct, frozen=True):
    """What an agent takes from outside itself; tests replace parts."""

    clock: Clock = SystemClock()
    transport: httpx.AsyncBaseTransport | None = None
    sleep: Sleep = asyncio.sleep
    backoff: Callable[[], Backoff] = Backoff
    nonce: Callable[[], str] = new_nonce
    resolve: Resolve = system_resolve
    probes: Mapping[str, Probe] | None = None


class Agent:
    """One start of one enrolled agent; ``run`` is called once.

    Making it reads and checks all files of the home and takes a new generation.
    """

    def __init__(self, home: Home, around: Surroundings | None = None) -> None:
        self._around = around or Surroundings()
        self.config: MidConfig = load_config(home)
        identity = Identity.load(home)
        found = find_probes() if self._around.probes is None else self._around.probes
        self.probes = permitted(found, self.config)
        self.state = next_generation(home)
        self._http = make_http(self.config.url, self._around.transport)
        client = InstanceClient(
            self._http, identity, self.state, self._around.clock, self._around.nonce
        )
        self.spool = Spool(home.spool, self.config.spool_limit_mb * 1024 * 1024)
        allow = self.config.allow_list(home)
        self._place = Workplace(
            client=client,
            delivery=Delivery(client, sleep=self._around.sleep, backoff=self._around.backoff),
            probes=self.probes,
            targets=Targets(home, self.config.targets, allow, self._around.resolve),
            spool=self.spool,
            executed=ExecutedJobs(home),
            identity=identity,
            clock=self._around.clock,
            places=asyncio.Semaphore(self.config.threads.max),
            sleep=self._around.sleep,
        )
        self._works: dict[str, tuple[Work, asyncio.Task[None]]] = {}
        self._ended = asyncio.Event()
        self._failure: asyncio.Future[None] | None = None
        self._begun = self._around.clock.monotonic()
        self._validated: bool | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; then finish or hand back what runs, within the grace time.

        Raises:
            IdentityRefused: the instance does not accept this agent any more.
        """
        loop = asyncio.get_running_loop()
        loop.set_default_executor(
            ThreadPoolExecutor(2 * self.config.threads.max + 8, thread_name_prefix="mid")
        )
        self._failure = loop.create_future()
        duties = [asyncio.create_task(self._poll()), asyncio.create_task(self._heartbeat())]
        stopping = asyncio.create_task(stop.wait())
        _log.info("agent started", extra={"generation": self.state.generation})
        try:
            for spooled in self.spool.left_over():
                self._begin(Work(self._place, spooled, resumed=True))
            ends: list[asyncio.Future[Any]] = [stopping, self._failure, *duties]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await _cancelled(duties)
            await self._wind_down()
        finally:
            await _cancelled([stopping, *duties, *(task for _, task in self._works.values())])
            await self._http.aclose()
        self._raise_failure(duties)

    async def _poll(self) -> None:
        backoff = self._around.backoff()
        while True:
            free = self._free()
            begun = time.monotonic()
            try:
                reply = await self._place.client.poll(self._question(free))
            except (InstanceUnavailable, InstanceRefused) as error:
                _log.warning("poll failed: %s", error.message)
                await self._around.sleep(backoff.wait())
                continue
            backoff.reset()
            await self._take(reply)
            if not free:
                await self._wait_for_place()
            elif not reply.jobs and time.monotonic() - begun < _QUICK_ANSWER:
                await self._around.sleep(1.0)  # an instance that does not wait is not hammered

    def _question(self, free: int) -> PollRequest:
        return PollRequest(
            free=free,
            topics=sorted(self.probes),
            running=[HeldJob(work.job.id, work.job.fence) for work, _ in self._works.values()],
            wait_seconds=25 if free else 0,
        )

    async def _take(self, reply: PollReply) -> None:
        if reply.validated != self._validated:
            self._validated = reply.validated
            _log.info("validated" if reply.validated else "waiting to be validated")
        for cancelled in reply.cancel:
            if cancelled in self._works:
                self._works[cancelled][0].stop(CANCELLED)
        for job in reply.jobs:
            await self._claim(job)

    async def _claim(self, job: Job) -> None:
        """Write a job down and begin; an older claim of the same job is void."""
        held = self._works.get(job.id)
        if held is not None:
            work, task = held
            if work.job.fence >= job.fence:
                return
            await _cancelled([task])
            work.remember()
        self._begin(Work(self._place, await asyncio.to_thread(self.spool.claim, job)))

    def _begin(self, work: Work) -> None:
        task = asyncio.create_task(work.carry())
        self._works[work.job.id] = (work, task)
        task.add_done_callback(lambda done: self._over(work, done))

    def _over(self, work: Work, task: asyncio.Task[None]) -> None:
        if self._works.get(work.job.id, (None,))[0] is work:
            del self._works[work.job.id]
        self._ended.set()
        error = None if task.cancelled() else task.exception()
        if error is not None and self._failure is not None and not self._failure.done():
            _log.error("job broke off: %s", error, exc_info=error, extra={"job": work.job.id})
            work.remember()
            if isinstance(error, ExceptionGroup) and error.subgroup(IdentityRefused):
                self._failure.set_exception(_first(error))

    async def _wait_for_place(self) -> None:
        self._ended.clear()
        if not self._free():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _FULL_WAIT)

    def _free(self) -> int:
        busy = sum(work.executing for work, _ in self._works.values())
        room = self.spool.bytes_held < self.spool.limit
        return max(0, self.config.threads.max - busy) if room else 0

    async def _heartbeat(self) -> None:
        while True:
            try:
                await self._place.client.heartbeat(self._health())
            except (InstanceUnavailable, InstanceRefused, FenceLost) as error:
                _log.warning("heartbeat failed: %s", error.message)
            await self._around.sleep(self.config.heartbeat_seconds)

    def _health(self) -> Heartbeat:
        return Heartbeat(
            version=__version__,
            running=sum(work.executing for work, _ in self._works.values()),
            free=self._free(),
            spool_jobs=self.spool.jobs_held,
            spool_bytes=self.spool.bytes_held,
            memory_bytes=_memory(),
            uptime_seconds=int(self._around.clock.monotonic() - self._begun),
            capabilities=sorted({probe.capability for probe in self.probes.values()}),
        )

    async def _wind_down(self) -> None:
        """Wait for the running jobs, then stop them; what cannot be delivered stays spooled."""
        if self._failure is not None and self._failure.done():
            return
        await self._wait_for_works(self.config.grace_seconds)
        for work, _ in self._works.values():
            work.stop(SHUTDOWN)
        await self._wait_for_works(_LAST_SECONDS)

    async def _wait_for_works(self, seconds: float) -> None:
        tasks = [task for _, task in self._works.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def _raise_failure(self, duties: list[asyncio.Task[None]]) -> None:
        for duty in duties:
            error = None if duty.cancelled() else duty.exception()
            if error is not None:
                raise error
        if self._failure is not None and self._failure.done():
            self._failure.result()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first IdentityRefused of a group."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first(error)
        if isinstance(error, IdentityRefused):
            return error
    return group


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until each has ended."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


def _memory() -> int:
    """Return the resident memory in bytes; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError, ValueError):
        return 0
