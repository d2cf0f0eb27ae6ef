"""Saved states of a whole instance, and the way back to one: for tests that start from the same.

A state is everything that tells: the database, the numbers that were taken in advance, and the
snapshot of the configuration. Going back replaces all of it at once while nobody reads or writes;
what was under way before is refused from then on (``storage.lives``).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from midspan.dictionary.values import datetime_text
from midspan.kernel.errors import Conflict, InvalidRequest, NotFound, did_you_mean
from midspan.records.snapshot import Snapshot
from midspan.records.store import RecordStore
from midspan.storage import SqliteDatabase

START = "start"
"""The state right after the start, which a reset goes back to."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_LIVES = "lives"


class SavedState(Struct, frozen=True):
    """A state that was saved; ``release`` tells with which built-in apps and code."""

    name: str
    created: str
    release: str
    numbers: dict[str, list[int]]


class SavedStates:
    """The saved states of one instance on SQLite, in a folder of its data directory.

    ``renewed`` are called while nobody else is at work, ``woken`` after it.
    """

    def __init__(
        self, records: RecordStore, database: SqliteDatabase, folder: Path, release: str
    ) -> None:
        self._records = records
        self._database = database
        self._folder = folder
        self._release = release
        self._known: dict[str, Snapshot] = {}
        self._turn = threading.Lock()
        self.renewed: list[Callable[[], None]] = []
        self.woken: list[Callable[[], None]] = []
        folder.mkdir(mode=0o700, exist_ok=True)
        lives = folder / _LIVES
        database.lives.now = int(lives.read_text()) if lives.exists() else 0

    def keep_start(self) -> None:
        """Save the state that a reset goes back to."""
        with self._turn:
            self._save(START)

    def save(self, name: str) -> SavedState:
        """Save the present state.

        Raises:
            InvalidRequest: no such name is possible.
            Conflict: there is one already.
        """
        if not _NAME.fullmatch(name) or name == START:
            raise InvalidRequest(
                f"A snapshot cannot be called {name[:100]!r}",
                hint=f"Up to 80 letters, digits, '.', '_' and '-'; {START!r} is the start's.",
            )
        with self._turn:
            if self._about(name).exists():
                raise Conflict(
                    f"There is a snapshot {name} already", hint=f"midspan snapshot delete {name}"
                )
            return self._save(name)

    def restore(self, name: str = START) -> SavedState:
        """Go back to a state; whatever is under way is refused from then on.

        Raises:
            NotFound: there is no such state.
            Conflict: another release saved it.
            Unavailable: a transaction stays open too long; nothing was changed.
        """
        with self._turn:
            state = self._find(name)
            if state.release != self._release:
                raise Conflict(
                    f"Another release saved the snapshot {name}",
                    hint="Take a new one of this release.",
                )
            # Written first, so that no life is ever counted twice: cookies know theirs.
            (self._folder / _LIVES).write_text(str(self._database.lives.now + 1))
            self._database.replace(self._file(name), lambda: self._renew(state))
        for wake in self.woken:
            wake()
        return state

    def states(self) -> list[SavedState]:
        """Return the states, the oldest first."""
        found = [_read(path) for path in self._folder.glob("*.json")]
        return sorted(found, key=lambda state: (state.name != START, state.created, state.name))

    def delete(self, name: str) -> None:
        """Forget a state.

        Raises:
            NotFound: there is no such state.
            Conflict: it is that of the start.
        """
        if name == START:
            raise Conflict("The state of the start stays: a reset goes back to it")
        with self._turn:
            self._find(name)
            self._about(name).unlink()
            self._file(name).unlink(missing_ok=True)
            self._known.pop(name, None)

    def _save(self, name: str) -> SavedState:
        file, about = self._file(name), self._about(name)
        about.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        kept: list[tuple[Snapshot, dict[str, list[int]]]] = []
        self._database.save(file, lambda: kept.append(self._present()))
        file.chmod(0o600)
        snapshot, numbers = kept[0]
        created = datetime_text(self._records.clock.now())
        state = SavedState(name=name, created=created, release=self._release, numbers=numbers)
        about.write_bytes(msgspec.json.encode(state))
        self._known[name] = snapshot
        return state

    def _present(self) -> tuple[Snapshot, dict[str, list[int]]]:
        with self._database.read() as transaction:
            snapshot = self._records.holder.renew(transaction)
        return snapshot, self._records.numbers.kept()

    def _renew(self, state: SavedState) -> None:
        holder = self._records.holder
        known = self._known.get(state.name)
        if known is None:
            with self._database.read() as transaction:
                known = self._known[state.name] = holder.load(transaction)
        holder.put(known)
        self._records.numbers.keep(state.numbers)
        for renew in self.renewed:
            renew()

    def _find(self, name: str) -> SavedState:
        states = {state.name: state for state in self.states()}
        if name not in states:
            raise NotFound(
                f"There is no snapshot {name[:100]}",
                hint=did_you_mean(name, states) or "List them: midspan snapshot list",
            )
        return states[name]

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.state"

    def _about(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _read(path: Path) -> SavedState:
    return msgspec.json.decode(path.read_bytes(), type=SavedState)
