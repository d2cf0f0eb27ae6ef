"""Brings one job's blocks and its end to the instance, however often the connection breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec

from midspan_link.protocol import BlockReply
from midspan_mid.backoff import Backoff
from midspan_mid.client import InstanceClient
from midspan_mid.errors import InstanceUnavailable
from midspan_mid.spool import SpooledJob

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Delivery:
    """Sends what is in the spool, in order, and waits for what is still being made."""

    def __init__(
        self,
        client: InstanceClient,
        *,
        sleep: Sleep = asyncio.sleep,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._backoff = backoff

    async def deliver(self, spooled: SpooledJob) -> None:
        """Return when the instance has acknowledged the completion.

        Raises:
            FenceLost, InstanceRefused, IdentityRefused: from the instance; the spool is untouched.
        """
        job = spooled.job
        wanted = (await self.insist(lambda: self._client.next_block(job))).next
        while True:
            spooled.changed.clear()
            spooled.drop_blocks_below(wanted)
            completion = spooled.completion()
            if completion is not None and completion.state == "error":
                await self.insist(partial(self._client.complete, job, completion))
                return
            if spooled.has_block(wanted):
                wanted = await self._send(spooled, wanted)
            elif completion is None:
                await spooled.changed.wait()
            elif wanted < completion.blocks:
                completion = msgspec.structs.replace(
                    completion,
                    state="error",
                    error_code="result_lost",
                    error_string=f"The instance asks for block {wanted}, which it had acknowledged",
                )
                await asyncio.to_thread(spooled.finish, completion)
            else:
                await self.insist(partial(self._client.complete, job, completion))
                return

    async def _send(self, spooled: SpooledJob, number: int) -> int:
        """Send one block; after a broken connection ask where to go on."""
        frame = await asyncio.to_thread(spooled.read_block, number)
        try:
            reply = await self._client.send_block(spooled.job, number, frame)
        except InstanceUnavailable as error:
            _log.warning("block not sent: %s", error.message, extra={"job": spooled.job.id})
            await self._sleep(self._backoff().wait())
            reply = await self.insist(lambda: self._client.next_block(spooled.job))
        await self._pause(reply)
        return reply.next

    async def _pause(self, reply: BlockReply) -> None:
        if reply.pause_ms:
            await self._sleep(reply.pause_ms / 1000)

    async def insist(self, request: Callable[[], Awaitable[T]]) -> T:
        """Repeat a harmless request, with growing pauses, until the instance answers it."""
        backoff = self._backoff()
        while True:
            try:
                return await request()
            except InstanceUnavailable as error:
                _log.warning("instance unavailable: %s", error.message)
                await self._sleep(backoff.wait())
