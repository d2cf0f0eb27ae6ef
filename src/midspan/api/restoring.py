"""From a backup file to an instance that was not there before.

Everything is checked before anything is put in its place: the format, the database, the master
key, that nothing is overwritten. Files are unpacked beside their place and renamed into it.
"""

from __future__ import annotations

import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import zstandard
from msgspec import Struct

from midspan.api.backup import BLOBS, DUMP, FORMAT, MANIFEST, RECORDS
from midspan.kernel.errors import Conflict, InvalidRequest, Unavailable, did_you_mean
from midspan.kernel.settings import Settings
from midspan.security import unwrap
from midspan.security.vault import ENVIRONMENT, present_master_key
from midspan.storage.clients import is_unused, run_client

KEY_FILE = "master.key"
_MAY_STAY = frozenset({KEY_FILE, "midspan.lock"})


class Manifest(Struct, frozen=True):
    """What a backup says of itself."""

    format: int
    version: str
    created: str
    database: str
    files: tuple[str, ...]
    wrapped_keys: dict[str, str]
    """The data keys by id, each wrapped by the master key."""


def restore(file: Path, settings: Settings, progress: Callable[[int], None]) -> Manifest:
    """Put a backup's contents into an empty data directory and, if named, an empty database.

    ``progress`` gets the bytes read of the file. The caller holds the directory's lock.

    Raises:
        InvalidRequest: it is no backup, or one of the other kind of database.
        Conflict: something is there already.
        Unavailable, UnreadableSecret: the master key is missing or another one.
    """
    _check_room(settings)
    with tempfile.TemporaryDirectory(dir=settings.data, prefix=".restore-") as folder:
        unpacked = Path(folder)
        manifest = _unpack(file, unpacked, progress, lambda each: _check(each, settings))
        if settings.database:
            dump = unpacked / DUMP
            options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
            run_client("pg_restore", (*options, str(dump)), settings.database)
            dump.unlink()
        else:
            _check_file(unpacked / RECORDS)
        for path in sorted(unpacked.iterdir()):
            path.rename(settings.data / path.name)
    return manifest


def _check_room(settings: Settings) -> None:
    there = sorted(path.name for path in settings.data.iterdir() if path.name not in _MAY_STAY)
    if there:
        raise Conflict(
            f"{settings.data} is not empty: {', '.join(there[:5])}",
            hint="Name a new directory with --data; only master.key may be there already.",
        )
    if settings.database and not is_unused(settings.database):
        raise Conflict("The database is not empty", hint="Create a new one, and name that.")


def _check(manifest: Manifest, settings: Settings) -> None:
    wanted = "postgresql" if settings.database else "sqlite"
    if manifest.database != wanted:
        hint = (
            "Name an empty database with --database postgresql://…"
            if manifest.database == "postgresql"
            else "Leave --database out; the records go into the data directory."
        )
        raise InvalidRequest(f"This is the backup of an instance on {manifest.database}", hint=hint)
    key = present_master_key(settings.data / KEY_FILE)
    if key is None:
        raise Unavailable(
            f"The master key is missing; without it the secrets of this backup ({_ids(manifest)})"
            " do not open",
            hint=f"Copy it to {settings.data / KEY_FILE} (mode 600), or set {ENVIRONMENT}.",
        )
    for key_id, wrapped in manifest.wrapped_keys.items():
        unwrap(key, key_id, wrapped)


def _ids(manifest: Manifest) -> str:
    return ", ".join(f"key {key_id}" for key_id in manifest.wrapped_keys)


def _unpack(
    file: Path, folder: Path, progress: Callable[[int], None], check: Callable[[Manifest], None]
) -> Manifest:
    with _archive(file, progress) as archive:
        manifest: Manifest | None = None
        for entry in archive:
            if manifest is None:
                manifest = _manifest(archive, entry)
                check(manifest)
            elif entry.name in manifest.files or entry.name.split("/")[0] == BLOBS:
                archive.extract(entry, folder, filter="data")
            else:
                hint = did_you_mean(entry.name, manifest.files) or "Take another backup."
                raise InvalidRequest(f"{entry.name} has no business in a backup", hint=hint)
    missing = [name for name in manifest.files if not (folder / name).is_file()] if manifest else []
    if manifest is None or missing:
        what = ", ".join(missing) or MANIFEST
        raise InvalidRequest(f"{file} is not complete: {what} is missing", hint=_WRONG)
    for path in folder.glob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return manifest


_WRONG = "Name a file that midspan backup wrote; was it cut off?"


@contextmanager
def _archive(file: Path, progress: Callable[[int], None]) -> Iterator[tarfile.TarFile]:
    try:
        with (
            file.open("rb") as raw,
            zstandard.ZstdDecompressor().stream_reader(
                cast(IO[bytes], _Counted(raw, progress))
            ) as packed,
            tarfile.open(fileobj=packed, mode="r|") as archive,
        ):
            yield archive
    except FileNotFoundError as error:
        raise InvalidRequest(f"There is no file {file}") from error
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise InvalidRequest(f"{file} is no backup", detail=str(error), hint=_WRONG) from error


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._progress(len(piece))
        return piece


def _manifest(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Manifest:
    stream = archive.extractfile(entry) if entry.name == MANIFEST else None
    try:
        found: Any = msgspec.json.decode(stream.read() if stream else b"")
        if isinstance(found, dict) and found.get("format") != FORMAT:
            raise InvalidRequest(
                f"The backup has format {found.get('format')}, this release reads {FORMAT}",
                hint=f"Restore it with the release that wrote it: {found.get('version')}.",
            )
        return msgspec.convert(found, Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRequest("This is no backup: it does not begin with a manifest") from error


def _check_file(file: Path) -> None:
    try:
        with closing(sqlite3.connect(file)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise InvalidRequest("The database in the backup is damaged", detail=verdict)
