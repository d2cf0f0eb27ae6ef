"""What a probe is given for one job: targets, credentials, the row stream, the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from midspan_link import blocks, sealing
from midspan_link.errors import CannotOpen
from midspan_link.protocol import Job, output_digest
from midspan_link.protocol import Secret as SealedSecret
from midspan_mid.icmp import ping
from midspan_mid.identity import Identity
from midspan_mid.spool import Spool, SpooledJob
from midspan_mid.targets import Targets
from midspan_sdk import ActionError, Column, Secret, SignInAgain, Target


class JobLog:
    """Writes a job's lines to the agent's log with the job's id."""

    def __init__(self, job: Job) -> None:
        self._log = logging.getLogger(f"midspan_mid.probe.{job.topic}")
        self._job = job.id

    def info(self, text: str, **fields: object) -> None:
        """Write a line of what happened."""
        self._write(logging.INFO, text, fields)

    def warning(self, text: str, **fields: object) -> None:
        """Write a line about something odd."""
        self._write(logging.WARNING, text, fields)

    def error(self, text: str, **fields: object) -> None:
        """Write a line about a failure."""
        self._write(logging.ERROR, text, fields)

    def _write(self, level: int, text: str, fields: dict[str, object]) -> None:
        extra = {f"field_{name}": value for name, value in fields.items()}
        self._log.log(level, "%s", text, extra={"job": self._job, **extra})


class SpoolingBlocks:
    """The row stream of a job: COPY text in, framed blocks into the spool."""

    def __init__(self, spool: Spool, spooled: SpooledJob) -> None:
        self._spool = spool
        self._spooled = spooled
        self._writer: blocks.BlockWriter | None = None

    async def header(self, columns: Sequence[Column]) -> None:
        """Announce the columns, once."""
        if self._writer is not None:
            raise ActionError("probe.header_twice", "The columns were announced before")
        self._writer = blocks.BlockWriter(
            [blocks.Column(column.name, column.type) for column in columns]
        )

    async def write(self, block: bytes, rows: int) -> None:
        """Take COPY text of whole rows, at most 16 MiB; waits while the spool is full."""
        writer = self._announced()
        if block.count(b"\n") != rows or (block and not block.endswith(b"\n")):
            raise ActionError("probe.rows", f"The chunk does not hold {rows} whole rows")
        await self._spool.room()
        await asyncio.to_thread(self._store, writer, block)
        self._spooled.changed.set()

    async def finish(self) -> tuple[int, int, str]:
        """Store the last block; return blocks, rows and output digest."""
        if self._writer is None:
            return 0, 0, output_digest([])
        writer = self._writer
        await asyncio.to_thread(self._store, writer, None)
        self._spooled.changed.set()
        return writer.blocks, writer.rows, output_digest(writer.digests)

    def _store(self, writer: blocks.BlockWriter, chunk: bytes | None) -> None:
        number = writer.blocks
        frame = writer.finish() if chunk is None else writer.add(chunk)
        if frame is not None:
            self._spooled.add_block(number, frame)

    def _announced(self) -> blocks.BlockWriter:
        if self._writer is None:
            raise ActionError(
                "probe.no_header", "Rows were written before the columns were announced"
            )
        return self._writer


class JobContext:
    """The ``ProbeContext`` of one job."""

    def __init__(
        self,
        job: Job,
        targets: Targets,
        stream: SpoolingBlocks,
        identity: Identity,
        mid_sys_id: str,
    ) -> None:
        self.key = job.id
        self.log = JobLog(job)
        self.blocks = stream
        self._job = job
        self._targets = targets
        self._identity = identity
        self._mid_sys_id = mid_sys_id

    async def ping(self, host: str, timeout: float) -> float | None:  # noqa: ASYNC109 - the SDK's signature
        """Send one echo request to an allowed host; None without an answer in time."""
        addresses = await asyncio.to_thread(
            self._targets.allow.addresses, host, 0, self._targets.resolve
        )
        return await ping(addresses[0], timeout)

    def target(self, name: str) -> Target:
        """Return a target by local name or URL; blocks on the name service."""
        return self._targets.find(name)

    def secret(self, alias: str) -> Secret:
        """Open the credential that was sealed for this claim."""
        sealed = self._job.sealed.get(alias)
        if sealed is None:
            raise SignInAgain(
                f"No credential {alias!r} came with the job",
                detail="Does the connection alias have an active credential for this agent?",
            )
        context = sealing.job_context(self._mid_sys_id, self._job.id, self._job.fence, alias)
        try:
            plain = sealing.unseal(sealed, self._identity.sealing_key, context)
            values = msgspec.json.decode(plain, type=SealedSecret)
        except CannotOpen as error:
            raise SignInAgain(f"Credential {alias!r}: {error.message}", detail=error.hint) from None
        except msgspec.DecodeError:
            raise SignInAgain(f"Credential {alias!r} has an unknown form") from None
        return Secret(msgspec.structs.asdict(values))

    def allowed(self, host: str, port: int) -> list[str]:
        """Return the addresses that the local allow list permits; blocks on the name service."""
        return self._targets.allow.addresses(host, port, self._targets.resolve)
