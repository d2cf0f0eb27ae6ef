"""A node is killed at random points of uploads and deletions of files, on both databases.

After each death every attachment has exactly the bytes that its hash says, nothing that was
answered is missing, and after the time for it nothing is left of files that did not become one.
"""

from __future__ import annotations

import hashlib
import random
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from midspan.attachments.store import FORGOTTEN_AFTER
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock, SystemClock
from midspan.kernel.settings import Settings
from midspan.records import delete, insert
from midspan.security.actor import SYSTEM

from .attachment_node import content
from .nursery import Nursery

KILLS = 20
FILES_PER_LIFE = 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_while_files_come_and_go(
    database: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)  # noqa: S311 - nothing secret hangs on it
    url = new_database() if database == "postgresql" else ""
    clock = ManualClock(SystemClock().now())
    instance = Instance(Settings(data=tmp_path, database=url), clock=clock)
    with instance.records.write(SYSTEM) as transaction:
        record = transaction.apply(insert("incident", {})).sys_id
    nursery = Nursery("tests.system.attachment_node", tmp_path / "nodes.log")
    left = 0
    try:
        for life in range(KILLS):
            nursery.start(
                folder=str(tmp_path), database=url, record=record, first=life * FILES_PER_LIFE
            )
            threading.Event().wait(chance.uniform(0.02, 0.8))
            assert nursery.end() == -signal.SIGKILL
            check_whole(instance, record, tmp_path / "journal", seed)
            left += len(unowned(instance))
    finally:
        nursery.close()
    assert left, f"no death left anything, so none came in the middle of a file; seed {seed}"
    clock.advance(SystemClock().now() - clock.now() + FORGOTTEN_AFTER + timedelta(minutes=1))
    instance.attachments.sweep()
    check_whole(instance, record, tmp_path / "journal", seed)
    assert unowned(instance) == set()
    assert rows(instance, "sys_attachment_upload") == 0
    with instance.records.write(SYSTEM) as transaction:
        transaction.apply(delete("incident", record))
    instance.attachments.sweep()
    assert rows(instance, "sys_attachment") == 0
    assert rows(instance, "sys_attachment_doc") == 0
    instance.close()


def check_whole(instance: Instance, record: str, journal: Path, seed: int) -> None:
    """Compare every attachment with the file it was made of, and with what the nodes answered."""
    lines = journal.read_text().split("\n") if journal.exists() else []
    said = [tuple(line.split()) for line in lines if line]
    stored = {int(number) for word, number in said if word == "stored"}
    deleting = {int(number) for word, number in said if word == "deleting"}
    deleted = {int(number) for word, number in said if word == "deleted"}
    found = set()
    with instance.records.read(SYSTEM) as transaction:
        attached = transaction.find("sys_attachment", f"table_sys_id={record}")
    for row in attached:
        number = int(row.get("file_name").removesuffix(".bin"))
        found.add(number)
        with instance.records.read(SYSTEM) as transaction:
            file = instance.attachments.find(transaction, row.sys_id)
        data = b"".join(instance.attachments.pieces(file))
        assert data == content(number), f"file {number}, seed {seed}"
        assert file.digest == hashlib.sha256(data).hexdigest()
        assert file.size == len(data)
    assert stored - deleting <= found, f"an answered file is missing; seed {seed}"
    assert not deleted & found, f"a deleted file is back; seed {seed}"


def unowned(instance: Instance) -> set[str]:
    """Return the files that have pieces and no attachment."""
    with instance.records.read(SYSTEM) as transaction:
        pieces = transaction.database.rows("SELECT DISTINCT sys_attachment FROM sys_attachment_doc")
        owners = transaction.database.rows("SELECT sys_id FROM sys_attachment")
    return {str(row[0]) for row in pieces} - {str(row[0]) for row in owners}


def rows(instance: Instance, table: str) -> int:
    with instance.records.read(SYSTEM) as transaction:
        return len(transaction.find(table, "", limit=10))
