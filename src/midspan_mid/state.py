"""What the agent remembers between starts: its record, its generation, the jobs it has run."""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from midspan_mid.errors import InvalidConfig, NotEnrolled
from midspan_mid.home import Home, sync_directory, write_durably

KEPT_JOBS = 50_000


class AgentState(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``state.json``; ``generation`` rises by one at each start."""

    mid_sys_id: str
    url: str
    generation: int = 0


def load_state(home: Home) -> AgentState:
    """Read the state of an enrolled home.

    Raises:
        NotEnrolled: there is none.
        InvalidConfig: the file is damaged.
    """
    if not home.state.exists():
        raise NotEnrolled(f"{home.root} is no enrolled agent", hint="Run: midspan mid enrol")
    try:
        return msgspec.json.decode(home.state.read_bytes(), type=AgentState)
    except msgspec.DecodeError as error:
        raise InvalidConfig(f"{home.state} is damaged: {error}", hint="Enrol again.") from None


def save_state(home: Home, state: AgentState) -> None:
    """Write the state durably."""
    write_durably(home.state, msgspec.json.encode(state))


def next_generation(home: Home) -> AgentState:
    """Raise the generation on disk, then return it: no two starts ever send the same number."""
    before = load_state(home)
    state = msgspec.structs.replace(before, generation=before.generation + 1)
    save_state(home, state)
    return state


class ExecutedJobs:
    """Ids of non-repeatable jobs that were started here; an append-only file, the newest 50,000."""

    def __init__(self, home: Home) -> None:
        self._path = home.executed
        text = self._path.read_text() if self._path.exists() else ""
        lines = text.splitlines()
        # A crash may leave half a last line; an id has 32 characters.
        self._ids = dict.fromkeys(line for line in lines[-KEPT_JOBS:] if len(line) == 32)
        if len(lines) > 2 * KEPT_JOBS or (text and not text.endswith("\n")):
            write_durably(self._path, "".join(f"{job}\n" for job in self._ids).encode())

    def __contains__(self, job: str) -> bool:
        """Tell whether the job was started here before."""
        return job in self._ids

    def add(self, job: str) -> None:
        """Remember a job durably."""
        if job in self._ids:
            return
        self._ids[job] = None
        fresh = not self._path.exists()
        with self._path.open("ab") as file:
            file.write(f"{job}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            sync_directory(self._path.parent)
