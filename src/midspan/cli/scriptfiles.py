"""Script records as files of a folder, and back: what changed where, and what contradicts.

Pure but for the folder. ``STATE`` remembers each file as it last was the same on both sides. A file
that changed only here goes there, one that changed only there comes here; one that changed on both
sides is a conflict, which is reported and left alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from midspan.kernel.errors import InvalidRequest

STATE = ".midspan-scripts.json"
_FORMAT = 1
_ODD = re.compile(r"[^a-z0-9]+")
_LONGEST = 60


class Kind(Struct, frozen=True):
    """A table whose records hold a script: its column, and the columns that name a record."""

    table: str
    column: str
    names: tuple[str, ...] = ("name",)


KINDS = (
    Kind(
        "sys_ws_operation",
        "operation_script",
        ("web_service_definition.service_id", "http_method", "name"),
    ),
    Kind("sys_web_service", "script"),
    Kind("sys_script_include", "script"),
    Kind("sys_script", "script", ("collection", "name")),
    Kind("sysevent_script_action", "script"),
    Kind("sysauto_script", "script"),
    Kind("sys_transform_map", "script"),
    Kind("sys_transform_script", "script", ("map.name", "when")),
    Kind("sys_transform_entry", "source_script", ("map.name", "target_field")),
)


class Source(Struct, frozen=True):
    """The script of one record as the instance has it."""

    kind: Kind
    sys_id: str
    names: tuple[str, ...]
    text: str

    @property
    def path(self) -> str:
        """Where its file is: the table, its names, and enough of the id to be unique.

        >>> kind = Kind("sys_script_include", "script")
        >>> Source(kind, "a1b2c3d4" * 4, ("Order Utils",), "").path
        'sys_script_include/order_utils-a1b2c3d4.js'
        """
        named = "-".join(_ODD.sub("_", name.lower()).strip("_") for name in self.names if name)
        return f"{self.kind.table}/{named[:_LONGEST]}-{self.sys_id[:8]}.js"


class Known(Struct, frozen=True):
    """What a file stands for, and the digest of the text that both sides last had."""

    table: str
    column: str
    sys_id: str
    digest: str


class Remote(Protocol):
    """The instance."""

    def sources(self, kinds: Iterable[Kind], query: str) -> list[Source]:
        """Return the scripts of some tables."""
        ...

    def read(self, known: Known) -> str | None:
        """Return the script of a record now, None when it is gone."""
        ...

    def write(self, known: Known, text: str) -> None:
        """Replace the script of a record."""
        ...


class Report(Struct):
    """What a run did, by path."""

    pulled: list[str] = []
    pushed: list[str] = []
    conflicts: list[str] = []
    gone: list[str] = []
    """Files that are empty, or without record or file any more; nothing is deleted for that."""
    same: int = 0

    def rows(self) -> list[dict[str, str]]:
        """Return the files with what happened to each."""
        kinds = {
            "pulled": self.pulled,
            "pushed": self.pushed,
            "conflict": self.conflicts,
            "gone": self.gone,
        }
        return [{"file": path, "what": what} for what, paths in kinds.items() for path in paths]


class ScriptFolder:
    """A folder with script files and what is known of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder / STATE
        self.query = ""
        self.tables: tuple[str, ...] = ()
        self._known = self._load()

    @property
    def is_new(self) -> bool:
        """Whether nothing was pulled into it yet."""
        return not self._state.exists()

    def pull(self, remote: Remote, overwrite: frozenset[str] = frozenset()) -> Report:
        """Bring files up to date with the instance; files changed here are kept.

        Paths in ``overwrite`` get the instance's text whatever they hold.
        """
        report = Report()
        for source in remote.sources(self._kinds(), self.query):
            path = self._path_of(source)
            here = self._read(path)
            known = self._known.get(path)
            there = digest(source.text)
            if here is None and known is not None and path not in overwrite:
                report.gone.append(path)
            elif here is not None and digest(here) == there:
                report.same += 1
                self._remember(path, source, there)
            elif here is None or path in overwrite or (known and digest(here) == known.digest):
                self._write(path, source.text)
                self._remember(path, source, there)
                report.pulled.append(path)
            elif known is not None and known.digest == there:
                report.same += 1  # changed here alone: push brings it there
            else:
                report.conflicts.append(path)
        self._save()
        return report

    def push(self, remote: Remote, overwrite: frozenset[str] = frozenset()) -> Report:
        """Bring what changed here to the instance, unless it changed there, too.

        Paths in ``overwrite`` replace the instance's text whatever it is.
        """
        report = Report()
        for path, known in sorted(self._known.items()):
            here = self._read(path)
            if not here:  # an editor may empty a file before it writes it
                report.gone.append(path)
                continue
            if digest(here) == known.digest and path not in overwrite:
                report.same += 1
                continue
            there = remote.read(known)
            if there is None:
                report.gone.append(path)
            elif digest(there) in (known.digest, digest(here)) or path in overwrite:
                if there != here:
                    remote.write(known, here)
                    report.pushed.append(path)
                self._known[path] = Known(known.table, known.column, known.sys_id, digest(here))
            else:
                report.conflicts.append(path)
        self._save()
        return report

    def relative(self, paths: Iterable[str]) -> frozenset[str]:
        """Return paths as the state names them.

        Raises:
            InvalidRequest: one is no file that was pulled.
        """
        found = set()
        for path in paths:
            given = Path(path)
            name = given.as_posix()
            if name not in self._known and given.resolve().is_relative_to(self._folder.resolve()):
                name = given.resolve().relative_to(self._folder.resolve()).as_posix()
            if name not in self._known:
                raise InvalidRequest(
                    f"{path} is no script file of {self._folder}",
                    hint="Name it as the report does.",
                )
            found.add(name)
        return frozenset(found)

    def _kinds(self) -> tuple[Kind, ...]:
        return tuple(kind for kind in KINDS if not self.tables or kind.table in self.tables)

    def _path_of(self, source: Source) -> str:
        """Return the file that a record has already, or the one for its name now."""
        for path, known in self._known.items():
            same = (known.table, known.sys_id) == (source.kind.table, source.sys_id)
            if same and known.column == source.kind.column:
                return path
        return source.path

    def _remember(self, path: str, source: Source, content: str) -> None:
        self._known[path] = Known(source.kind.table, source.kind.column, source.sys_id, content)

    def _place(self, path: str) -> Path:
        place = (self._folder / path).resolve()
        if not place.is_relative_to(self._folder.resolve()):
            raise InvalidRequest(f"{path} would be outside {self._folder}")
        return place

    def _read(self, path: str) -> str | None:
        try:
            with self._place(path).open(encoding="utf-8", newline="") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{path} is not UTF-8 text") from error

    def _write(self, path: str, text: str) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("w", encoding="utf-8", newline="") as file:
            file.write(text)

    def _load(self) -> dict[str, Known]:
        try:
            stored = json.loads(self._state.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InvalidRequest(
                f"{self._state} cannot be read", hint="Delete it and pull into a new folder."
            ) from error
        self.query, self.tables = stored["query"], tuple(stored["tables"])
        return {path: Known(**each) for path, each in stored["files"].items()}

    def _save(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        files: Mapping[str, Any] = {
            path: {name: getattr(known, name) for name in Known.__struct_fields__}
            for path, known in sorted(self._known.items())
        }
        content = {
            "format": _FORMAT,
            "tables": list(self.tables),
            "query": self.query,
            "files": files,
        }
        half = self._state.with_suffix(".half")
        half.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        half.replace(self._state)


def digest(text: str) -> str:
    """Return what tells two texts apart; the kind of line ends does not count."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()
