"""A node that attaches and deletes files until it is killed; started by ``test_kill_upload``."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from tests.system.nursery import Told, nurse

from midspan.attachments import NewFile
from midspan.attachments.file import PIECE
from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.records import delete
from midspan.security.actor import SYSTEM

LONGEST = 6 * PIECE


def content(number: int) -> bytes:
    """Return the bytes of file ``number``: of any size up to a few pieces."""
    chance = random.Random(number)  # noqa: S311 - the test makes them again
    return chance.randbytes(chance.randint(0, LONGEST))


def work(arguments: dict[str, Any], told: Told) -> None:
    """Attach file after file to ``record``; write down what is stored and what is deleted."""
    folder = Path(arguments["folder"])
    instance = Instance(Settings(data=folder, database=arguments["database"]))
    journal = os.open(folder / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    told.ready()
    number = arguments["first"]
    while not told.wait(0):
        new = NewFile(table="incident", record=arguments["record"], name=f"{number}.bin")
        data = content(number)
        pieces = (data[at : at + 65_536] for at in range(0, len(data), 65_536))
        sys_id = instance.attachments.write(SYSTEM, new, pieces)
        os.write(journal, f"stored {number}\n".encode())
        if number % 3 == 0:
            os.write(journal, f"deleting {number}\n".encode())
            with instance.records.write(SYSTEM) as transaction:
                transaction.apply(delete("sys_attachment", sys_id))
            os.write(journal, f"deleted {number}\n".encode())
        number += 1
    instance.close()


if __name__ == "__main__":
    nurse(work)
