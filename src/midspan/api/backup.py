"""One file with everything an instance keeps, but for the master key.

A zstandard-compressed tar archive: ``manifest.json``, ``records.db`` (on PostgreSQL
``records.dump`` of pg_dump), every other database of the data directory, and the blobs. The
manifest names the data keys by id, and has them as the master key wrapped them; without this
instance's master key neither they nor the secrets open.
"""

from __future__ import annotations

import io
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import orjson
import zstandard
from msgspec import Struct

from midspan.dictionary.values import datetime_text
from midspan.records import RecordStore, insert, update
from midspan.security import SYSTEM
from midspan.storage import Database, Statements
from midspan_sdk.version import __version__

PIECE = 1024 * 1024
FORMAT = 1
MANIFEST = "manifest.json"
BLOBS = "blobs"
RECORDS = "records.db"
DUMP = "records.dump"
LAST_BACKUP = "midspan.backup.last"
"""System property: when the newest backup was complete, in UTC."""


class BackupSource(Struct, frozen=True):
    """What is saved; ``data`` is the instance's directory."""

    database: Database
    data: Path


def backup_pieces(source: BackupSource, now: datetime) -> Iterator[bytes]:
    """Yield the archive in pieces of at most 1 MiB; it needs room in the data directory meanwhile.

    Raises:
        Unavailable: pg_dump is missing or failed; before the first piece.
    """
    with tempfile.TemporaryDirectory(dir=source.data, prefix=".backup-") as folder:
        file = Path(folder) / "backup.tar.zst"
        write_backup(source, file, now)
        with file.open("rb") as stream:
            while piece := stream.read(PIECE):
                yield piece


def noted(pieces: Iterator[bytes], records: RecordStore) -> Iterator[bytes]:
    """Pass the pieces on and keep when the last one was taken, for ``midspan doctor``."""
    yield from pieces
    values = {"name": LAST_BACKUP, "value": datetime_text(records.clock.now())}
    with records.write(SYSTEM, enforce=False) as transaction:
        known = transaction.first("sys_properties", f"name={LAST_BACKUP}")
        if known is None:
            transaction.apply(insert("sys_properties", {**values, "type": "string"}))
        else:
            transaction.apply(update("sys_properties", known.sys_id, values))


def write_backup(source: BackupSource, file: Path, now: datetime) -> None:
    """Write the archive; the databases are copied while others go on working."""
    with (
        file.open("wb") as raw,
        zstandard.ZstdCompressor(level=3).stream_writer(raw) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        manifest = orjson.dumps(_manifest(source, now), option=orjson.OPT_INDENT_2)
        entry = tarfile.TarInfo(MANIFEST)
        entry.size, entry.mtime, entry.mode = len(manifest), int(now.timestamp()), 0o600
        archive.addfile(entry, io.BytesIO(manifest))
        for name in _databases(source):
            copy = file.with_name(name)
            _copy(source, name, copy)
            archive.add(copy, name)
            copy.unlink()
        if (source.data / BLOBS).is_dir():
            archive.add(source.data / BLOBS, BLOBS)


def _databases(source: BackupSource) -> list[str]:
    sqlite = source.database.dialect.name == "sqlite"
    first = RECORDS if sqlite else DUMP
    others = sorted(path.name for path in source.data.glob("*.db") if path.name != RECORDS)
    return [first, *others]


def _copy(source: BackupSource, name: str, copy: Path) -> None:
    if name in (RECORDS, DUMP):
        source.database.backup(str(copy))
        return
    with (
        closing(sqlite3.connect(source.data / name)) as original,
        closing(sqlite3.connect(copy)) as target,
    ):
        original.backup(target)


def _manifest(source: BackupSource, now: datetime) -> dict[str, object]:
    sql = Statements("midspan.security", "sign_in", source.database.dialect)
    with source.database.read() as transaction:
        keys = {str(row[0]): str(row[1]) for row in transaction.rows(sql["data_keys"])}
    return {
        "format": FORMAT,
        "version": __version__,
        "created": datetime_text(now),
        "database": source.database.dialect.name,
        "files": _databases(source),
        "data_keys": list(keys),
        "wrapped_keys": keys,
    }
