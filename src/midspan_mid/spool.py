"""Jobs and results on the agent's disk until the instance has them.

``spool/<job>/job.json`` is written at the claim, ``started`` before the probe runs, one file per
block as it is made, ``result.json`` at the end. Each is durable before the next step is taken, so
after a crash the files say how far the job came. Block files go when the instance has stored them,
the directory when it has acknowledged the completion or the fence is lost.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec

from midspan_link.protocol import Completion, Job
from midspan_mid.home import sync_directory, write_durably


class SpooledJob:
    """One job's directory; blocks are appended by the run and taken by the delivery."""

    def __init__(self, spool: Spool, job: Job, path: Path) -> None:
        self.job = job
        self.path = path
        self._spool = spool
        self._sizes = {int(file.stem): file.stat().st_size for file in path.glob("*.block")}
        self.changed = asyncio.Event()

    @property
    def started(self) -> bool:
        """Tell whether the probe may have begun."""
        return (self.path / "started").exists()

    @property
    def bytes_held(self) -> int:
        """Return the size of the block files."""
        return sum(self._sizes.values())

    def completion(self) -> Completion | None:
        """Return the end of the job, once the run has written it."""
        file = self.path / "result.json"
        if not file.exists():
            return None
        return msgspec.json.decode(file.read_bytes(), type=Completion)

    def mark_started(self) -> None:
        """Note durably that the probe begins now."""
        write_durably(self.path / "started", b"")

    def unmark_started(self) -> None:
        """Take the mark back durably: the probe did not begin after all."""
        (self.path / "started").unlink()
        sync_directory(self.path)

    def add_block(self, number: int, frame: bytes) -> None:
        """Store a block durably."""
        write_durably(self._block(number), frame)
        self._sizes[number] = len(frame)

    def has_block(self, number: int) -> bool:
        """Tell whether the block is on disk."""
        return number in self._sizes

    def read_block(self, number: int) -> bytes:
        """Return a stored block."""
        return self._block(number).read_bytes()

    def drop_blocks_below(self, number: int) -> None:
        """Remove blocks that the instance has stored."""
        for held in [held for held in self._sizes if held < number]:
            self._block(held).unlink(missing_ok=True)
            del self._sizes[held]
        self._spool.freed.set()

    def finish(self, completion: Completion) -> None:
        """Store the end of the job durably."""
        write_durably(self.path / "result.json", msgspec.json.encode(completion))

    def remove(self) -> None:
        """Forget the job: the instance has its result, or does not want it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._sizes.clear()
        self._spool.forget(self)

    def set_aside(self) -> Path:
        """Keep a result that the instance refuses, out of the way, for a human to look at."""
        place = self._spool.root.parent / "refused"
        place.mkdir(mode=0o700, exist_ok=True)
        kept = place / f"{self.job.id}-{self.job.fence}"
        shutil.rmtree(kept, ignore_errors=True)
        self.path.rename(kept)
        self._sizes.clear()
        self._spool.forget(self)
        return kept

    def _block(self, number: int) -> Path:
        return self.path / f"{number:08d}.block"


class Spool:
    """All spooled jobs of a home; ``limit`` bounds the bytes of blocks on disk."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self.limit = limit
        self.freed = asyncio.Event()
        self._jobs: dict[str, SpooledJob] = {}

    def claim(self, job: Job) -> SpooledJob:
        """Write a claimed job down before anything is done for it; replaces an older claim."""
        path = self.root / job.id
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        write_durably(path / "job.json", msgspec.json.encode(job))
        sync_directory(self.root)
        return self._hold(job, path)

    def left_over(self) -> list[SpooledJob]:
        """Return the jobs that an earlier process left, oldest first; unreadable ones are removed.

        A directory without a readable ``job.json`` was cut off before its job began.
        """
        found: list[SpooledJob] = []
        for path in sorted(self.root.iterdir(), key=lambda path: path.stat().st_mtime):
            try:
                job = msgspec.json.decode((path / "job.json").read_bytes(), type=Job)
            except (OSError, msgspec.DecodeError):
                shutil.rmtree(path, ignore_errors=True)
                continue
            found.append(self._hold(job, path))
        return found

    async def room(self) -> None:
        """Wait until the blocks on disk are below the limit."""
        while self.bytes_held >= self.limit:
            self.freed.clear()
            await self.freed.wait()

    def forget(self, spooled: SpooledJob) -> None:
        """Count a job's blocks no longer."""
        if self._jobs.get(spooled.job.id) is spooled:
            del self._jobs[spooled.job.id]
        self.freed.set()

    @property
    def jobs_held(self) -> int:
        """Return how many jobs are on disk."""
        return len(self._jobs)

    @property
    def bytes_held(self) -> int:
        """Return the size of all blocks on disk."""
        return sum(job.bytes_held for job in self._jobs.values())

    def _hold(self, job: Job, path: Path) -> SpooledJob:
        spooled = SpooledJob(self, job, path)
        self._jobs[job.id] = spooled
        return spooled
