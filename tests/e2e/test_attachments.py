"""Files over HTTP against real servers: bounded memory, and a node that dies in mid-upload."""

from __future__ import annotations

import hashlib
import random
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.guard import GUARD

from midspan.attachments.file import PIECE

Start = Callable[..., Any]
ADMIN = ("admin", "first password")
SECRET = {"MIDSPAN_ADMIN_PASSWORD": ADMIN[1]}
MEGABYTE = 1024 * 1024
SIZE = 200 * MEGABYTE
FORM = 40 * MEGABYTE
MOST_MEMORY = 100 * MEGABYTE
"""What the process may grow by: some pieces, the database's caches, freed memory not reused."""
BLOCK = random.Random(5).randbytes(MEGABYTE)  # noqa: S311 - content that does not compress


def blocks(size: int = SIZE) -> Iterator[bytes]:
    """Yield the bytes of a file; httpx sends each as it is asked for."""
    for _ in range(size // MEGABYTE):
        yield BLOCK


def form(boundary: str, record: str, body: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a form with a file, of which no more than a block is in memory."""
    for name, text in (("table_name", "incident"), ("table_sys_id", record)):
        disposition = f'Content-Disposition: form-data; name="{name}"'
        yield f"--{boundary}\r\n{disposition}\r\n\r\n{text}\r\n".encode()
    yield (
        f'--{boundary}\r\nContent-Disposition: form-data; name="uploadFile"; '
        'filename="form.bin"\r\nContent-Type: application/x-test\r\n\r\n'
    ).encode()
    yield from body
    yield f"\r\n--{boundary}--\r\n".encode()


class Memory:
    """Looks at a process again and again; knows the most memory that it had of its own.

    Pages of the database's file that are mapped do not count: the system takes them back.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.first = self.most = self._now()

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.most = max(self.most, self._now())

    def _now(self) -> int:
        found = re.search(r"RssAnon:\s+(\d+) kB", self._status.read_text())
        assert found is not None
        return int(found[1]) * 1024


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, auth=ADMIN, timeout=GUARD)


def incident(client: httpx.Client) -> str:
    answer = client.post("/api/now/table/incident", json={"short_description": "has files"})
    return str(answer.json()["result"]["sys_id"])


def attach(client: httpx.Client, record: str, body: Any, name: str = "a.bin") -> httpx.Response:
    place = {"table_name": "incident", "table_sys_id": record, "file_name": name}
    headers = {"Content-Type": "application/x-test"}
    return client.post("/api/now/attachment/file", params=place, content=body, headers=headers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "database"),
    [("granian", "sqlite"), ("granian", "postgresql"), ("uvicorn", "sqlite")],
)
def test_a_long_file_goes_through_without_being_in_memory(
    start: Start, server: str, database: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    place = ["--ephemeral"]
    if database == "postgresql":
        place = ["--database", new_database(), "--data", str(tmp_path / "data")]
    node = start(*place, "--port", "0", "--server", server, **SECRET)
    ready = node.ready()
    with client_of(ready["url"]) as client:
        record = incident(client)
        assert attach(client, record, b"warm" * PIECE).status_code == 201
        with Memory(ready["pid"]) as memory:
            plain = attach(client, record, blocks()).json()["result"]
            assert (plain["size_bytes"], plain["hash"]) == (str(SIZE), digest_of(SIZE))
            kind = {"Content-Type": "multipart/form-data; boundary=f0rm"}
            body = form("f0rm", record, blocks(FORM))
            answer = client.post("/api/now/attachment/upload", content=body, headers=kind)
            formed = answer.json()["result"]
            assert (formed["size_bytes"], formed["hash"]) == (str(FORM), digest_of(FORM))
            received, size = hashlib.sha256(), 0
            with client.stream("GET", f"/api/now/attachment/{plain['sys_id']}/file") as answer:
                assert answer.headers["content-length"] == str(SIZE)
                for part in answer.iter_bytes():
                    received.update(part)
                    size += len(part)
    assert (size, received.hexdigest()) == (SIZE, plain["hash"])
    grown = memory.most - memory.first
    assert grown < MOST_MEMORY, f"{grown / MEGABYTE:.0f} MB"
    assert node.stop() == 0


def digest_of(size: int) -> str:
    digest = hashlib.sha256()
    for block in blocks(size):
        digest.update(block)
    return digest.hexdigest()


def test_a_node_that_dies_in_mid_upload_leaves_no_file(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    node = start("--data", str(data), "--port", "0", **SECRET)
    url = node.ready()["url"]

    def dying() -> Iterator[bytes]:
        yield from blocks(4 * MEGABYTE)
        wait_until(lambda: pieces(data) > 2)
        node.process.kill()
        node.process.wait()
        while True:
            yield BLOCK

    with client_of(url) as client:
        record = incident(client)
        with pytest.raises(httpx.TransportError):
            attach(client, record, dying(), "lost.bin")
    assert node.process.returncode == -signal.SIGKILL
    assert pieces(data) > 2
    with closing(sqlite3.connect(data / "records.db")) as database, database:
        late = "UPDATE sys_attachment_upload SET sys_updated_on = '2026-01-01 00:00:00'"
        assert database.execute(late).rowcount == 1
    again = start("--data", str(data), "--port", "0", **SECRET)
    with client_of(again.ready()["url"]) as client:
        found = client.get("/api/now/attachment", params={"table_sys_id": record})
        assert found.json() == {"result": []}
        assert found.headers["x-total-count"] == "0"
        wait_until(lambda: pieces(data) == 0)
        assert attach(client, record, BLOCK).json()["result"]["size_bytes"] == str(MEGABYTE)
    assert again.stop() == 0


def test_a_client_that_goes_away_leaves_nothing(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    node = start("--data", str(data), "--port", "0", **SECRET)

    def broken_off() -> Iterator[bytes]:
        yield from blocks(4 * MEGABYTE)
        wait_until(lambda: pieces(data) > 2)
        raise ConnectionAbortedError

    with client_of(node.ready()["url"]) as client:
        record = incident(client)
        with pytest.raises(ConnectionAbortedError):
            attach(client, record, broken_off())
        wait_until(lambda: pieces(data) == 0)
        assert client.get("/api/now/attachment").json() == {"result": []}
    assert node.stop() == 0


def test_a_refused_file_gets_its_answer_while_it_is_sent(start: Start) -> None:
    node = start("--ephemeral", "--port", "0", **SECRET)
    with client_of(node.ready()["url"]) as client:
        answer = attach(client, "f" * 32, blocks(3 * MEGABYTE))
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == "No Record found"
    assert node.stop() == 0


def pieces(data: Path) -> int:
    """Count the pieces of files that a node on SQLite has stored, from outside."""
    with closing(sqlite3.connect(data / "records.db")) as database:
        row = database.execute("SELECT COUNT(*) FROM sys_attachment_doc").fetchone()
    return int(row[0])


def wait_until(condition: Callable[[], bool]) -> None:
    given_up = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < given_up, "the condition never held"
        time.sleep(0.02)
