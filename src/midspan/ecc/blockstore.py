"""The blocks that a job's agent sent: numbered, stored once, in order, each in one transaction."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from midspan.ecc.errors import BlockConflict, BlockRefused, Incomplete
from midspan.records import RecordTransaction
from midspan.storage import Statements, Transaction
from midspan_link.blocks import Block, decode_block
from midspan_link.errors import LinkError
from midspan_link.protocol import Completion, output_digest

MAX_BLOCKS = 65_536
"""Blocks of one job; about 64 GiB of rows."""


class BlockStore:
    """Rows of ``ecc_block``; every method works in the caller's transaction."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def count(self, database: Transaction, output: str, fence: int) -> int:
        """Return how many blocks are stored, which is the number wanted next."""
        row = database.row(self._sql["block_count"], (output, fence))
        return int(row[0]) if row else 0

    def put(self, transaction: RecordTransaction, output: str, fence: int, frame: bytes) -> int:
        """Store a checked frame when it is the next one; return the number wanted next.

        Raises:
            BlockConflict: its number is held with other bytes.
            BlockRefused: unreadable, or one block too many.
        """
        header = read(frame).header
        wanted = self.count(transaction.database, output, fence)
        text = base64.b64encode(frame).decode()
        if header.number < wanted:
            key = (output, fence, header.number)
            row = transaction.database.row(self._sql["block_content"], key)
            if row is None or row[0] != text:
                raise BlockConflict(f"Block {header.number} is held with other bytes")
            return wanted
        if header.number > wanted:
            return wanted
        if wanted >= MAX_BLOCKS:
            raise BlockRefused(f"A job has at most {MAX_BLOCKS} blocks")
        transaction.engine_insert(
            "ecc_block",
            [
                {
                    "output": output,
                    "fence": str(fence),
                    "number": str(header.number),
                    "row_count": str(header.rows),
                    "byte_count": str(len(frame)),
                    "digest": header.digest,
                    "content": text,
                }
            ],
        )
        return wanted + 1

    def check(self, database: Transaction, output: str, message: Completion) -> None:
        """Return when a completion agrees with what is stored.

        Raises:
            Incomplete: number, rows or digest differ.
        """
        stored = database.rows(self._sql["block_digests"], (output, message.fence))
        digest = output_digest(str(row[0]) for row in stored)
        rows = sum(int(row[1]) for row in stored)
        if (message.blocks, message.digest) != (len(stored), digest):
            raise Incomplete(
                f"The agent completed {message.blocks} blocks, {len(stored)} are stored"
                if message.blocks != len(stored)
                else "The digest of the blocks differs from the agent's"
            )
        if message.rows != rows:
            raise Incomplete(f"The agent counted {message.rows} rows, the blocks hold {rows}")

    def read(self, database: Transaction, output: str, fence: int) -> Iterator[Block]:
        """Yield the stored blocks in order, one in memory at a time."""
        number = 0
        while (block := self.get(database, output, fence, number)) is not None:
            yield block
            number += 1

    def get(self, database: Transaction, output: str, fence: int, number: int) -> Block | None:
        """Return one stored block, or None."""
        row = database.row(self._sql["block_content"], (output, fence, number))
        return None if row is None else read(base64.b64decode(str(row[0])))

    def drop(self, database: Transaction, output: str) -> None:
        """Delete all blocks of a job, of every fence."""
        database.execute(self._sql["drop_blocks"], (output,))


def read(frame: bytes) -> Block:
    """Check and unpack a frame.

    Raises:
        BlockRefused: it is damaged, too large or no block.
    """
    try:
        return decode_block(frame)
    except LinkError as error:
        raise BlockRefused(error.message) from None
