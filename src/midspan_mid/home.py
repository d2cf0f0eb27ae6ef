"""The agent's directory: where its files are, and how they are written so that they survive."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from midspan_mid.errors import HomeBusy, InvalidConfig


class Home(Struct, frozen=True):
    """A home directory, mode 0700; everything in it belongs to one agent."""

    root: Path

    @property
    def config(self) -> Path:
        """The file that the local administrator edits."""
        return self.root / "mid.yaml"

    @property
    def key(self) -> Path:
        """The agent's private keys."""
        return self.root / "identity.key"

    @property
    def state(self) -> Path:
        """What the agent must remember between starts."""
        return self.root / "state.json"

    @property
    def executed(self) -> Path:
        """Ids of jobs that must not run again."""
        return self.root / "executed.log"

    @property
    def spool(self) -> Path:
        """Jobs and results that the instance does not have yet."""
        return self.root / "spool"

    def create(self) -> None:
        """Make the directories; an existing home keeps its files."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.spool.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for this process; the lock ends with the process, however it ends.

        Raises:
            HomeBusy: another process holds it.
        """
        with (self.root / "agent.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HomeBusy(
                    f"Another agent runs in {self.root}",
                    hint="Give each agent a --home of its own.",
                ) from None
            yield

    def is_locked(self) -> bool:
        """Tell whether an agent runs in this home."""
        try:
            with self.locked():
                return False
        except HomeBusy:
            return True


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file so that after a crash there is the old or the new content, never a part."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the directory's entries themselves durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_private(path: Path) -> None:
    """Return when only the owner may read the file.

    Raises:
        InvalidConfig: it is missing or readable by others; the hint is the command that helps.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InvalidConfig(f"{path} cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidConfig(
            f"{path} holds a secret and others may read it", hint=f"chmod 600 {path}"
        )
