"""The rows of runs and their journal; every write is guarded by the run's fence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from midspan.dictionary import Storage
from midspan.dictionary.values import datetime_text
from midspan.kernel.errors import Conflict, FenceLost, RecordNotFound
from midspan.kernel.ids import derived_id
from midspan.records import RecordStore, RecordTransaction
from midspan.storage import Statements

ENDED = frozenset({"COMPLETE", "ERROR", "CANCELLED", "OUTCOME_UNKNOWN"})


class JournalMismatch(Conflict):
    """The journal of a run does not fit its definition; the run stops rather than guess."""

    code = "MS410"


class Run(Struct, frozen=True, kw_only=True):
    """A run as it was when its segment began."""

    sys_id: str
    flow: str
    name: str
    snapshot: str
    state: str
    table: str
    record: str
    inputs: dict[str, Any]
    fence: int


class Entry(Struct, frozen=True, kw_only=True):
    """One step in the journal."""

    sys_id: str
    path: str
    position: int
    kind: str
    state: str
    inputs: Any = None
    outputs: dict[str, Any] = {}
    decision: dict[str, Any] = {}
    attempts: int = 0


class Journal:
    """Reads and writes runs; stateless."""

    def __init__(self, records: RecordStore) -> None:
        self.records = records
        self.sql = Statements("midspan.flow", "flow", records.database.dialect)

    def run(self, transaction: RecordTransaction, sys_id: str) -> Run:
        """Return a run.

        Raises:
            RecordNotFound: there is none.
        """
        row = transaction.database.row(self.sql["run"], (sys_id,))
        if row is None:
            raise RecordNotFound("sys_flow_context", sys_id)
        flow, snapshot, state, table, record, inputs, fence, name = row
        return Run(
            sys_id=sys_id,
            flow=flow,
            name=name or "",
            snapshot=snapshot,
            state=state,
            table=table,
            record=record,
            inputs=_decoded(inputs) or {},
            fence=int(fence or 0),
        )

    def begin(self, transaction: RecordTransaction, sys_id: str, node: str) -> Run | None:
        """Raise the run's fence and return it; None when it has ended."""
        now = datetime_text(self.records.clock.now())
        row = transaction.database.row(self.sql["begin"], (now, node, now, sys_id))
        return self.run(transaction, sys_id) if row else None

    def definition(self, transaction: RecordTransaction, snapshot: str) -> str:
        """Return the text of a version."""
        row = transaction.database.row(self.sql["definition"], (snapshot,))
        if row is None:
            raise RecordNotFound("sys_hub_flow_snapshot", snapshot)
        return str(row[0])

    def version(self, transaction: RecordTransaction, flow: str, name: str, text: str) -> str:
        """Return the id of the version with this text; it is written when it is new."""
        digest = derived_id(text)
        sys_id = derived_id("flow version", flow, digest)
        if transaction.database.row(self.sql["definition"], (sys_id,)) is None:
            row = transaction.database.row(self.sql["newest_version"], (flow,))
            values = {
                "sys_id": sys_id,
                "flow": flow,
                "number": str(int(row[0]) + 1 if row else 1),
                "name": name,
                "definition": text,
                "content_hash": digest,
                "published": datetime_text(self.records.clock.now()),
            }
            transaction.engine_insert("sys_hub_flow_snapshot", [values])
        return sys_id

    def guard(self, transaction: RecordTransaction, run: Run) -> None:
        """Lock the run until the end of the transaction.

        Raises:
            FenceLost: another segment has begun, or the run was cancelled.
        """
        now = datetime_text(self.records.clock.now())
        row = (now, run.sys_id, run.fence)
        if transaction.database.execute(self.sql["guard"], row) != 1:
            raise FenceLost(f"Run {run.sys_id} was taken over or cancelled; nothing was written")

    def entries(self, transaction: RecordTransaction, run: str) -> list[Entry]:
        """Return the journal in its order."""
        return [
            Entry(
                sys_id=row[8],
                path=row[0],
                position=int(row[1]),
                kind=row[2],
                state=row[3],
                inputs=_decoded(row[4]),
                outputs=_decoded(row[5]) or {},
                decision=_decoded(row[6]) or {},
                attempts=int(row[7] or 0),
            )
            for row in transaction.database.rows(self.sql["journal"], (run,))
        ]

    def add(self, transaction: RecordTransaction, run: Run, entry: Entry, **values: str) -> None:
        """Write a new entry."""
        self.guard(transaction, run)
        row = {
            "sys_id": entry.sys_id,
            "context": run.sys_id,
            "path": entry.path,
            "iteration": "1",
            "position": str(entry.position),
            "kind": entry.kind,
            "state": entry.state,
            "inputs": _encoded(entry.inputs),
            "outputs": _encoded(entry.outputs),
            "decision": _encoded(entry.decision),
            "attempts": str(entry.attempts),
            "fence": str(run.fence),
            "started": datetime_text(self.records.clock.now()),
            **values,
        }
        transaction.engine_insert("sys_flow_step_run", [row])

    def change(self, transaction: RecordTransaction, run: Run, entry: Entry, **values: str) -> None:
        """Bring an entry to a new state."""
        self.guard(transaction, run)
        row = {
            "state": entry.state,
            "outputs": _encoded(entry.outputs),
            "decision": _encoded(entry.decision),
            "attempts": str(entry.attempts),
            "fence": str(run.fence),
            **values,
        }
        transaction.engine_update("sys_flow_step_run", entry.sys_id, row)

    def wait(self, transaction: RecordTransaction, run: Run, until: datetime) -> None:
        """Let the run wait."""
        self.guard(transaction, run)
        transaction.database.execute(self.sql["wait"], (datetime_text(until), run.sys_id))

    def finish(self, transaction: RecordTransaction, run: Run, state: str, error: str = "") -> None:
        """End the run for ever."""
        self.guard(transaction, run)
        now = datetime_text(self.records.clock.now())
        row = (state, error[:4000] or None, now, run.sys_id)
        transaction.database.execute(self.sql["finish"], row)

    def cancel(self, transaction: RecordTransaction, run: str) -> bool:
        """Cancel a run that has not ended; a segment under way loses its fence."""
        now = datetime_text(self.records.clock.now())
        row = (now, transaction.database.dialect.bind(Storage.BOOLEAN, "true"), run)
        return transaction.database.execute(self.sql["cancel"], row) == 1

    def say(
        self, transaction: RecordTransaction, run: Run, entry: Entry, level: str, text: str
    ) -> None:
        """Write a line of the run's log."""
        row = {
            "context": run.sys_id,
            "order": str(entry.position),
            "path": entry.path,
            "level": level,
            "message": text[:4000],
        }
        transaction.engine_insert("sys_flow_log", [row])


def queued(run: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return the row of a new run."""
    return {"sys_id": run, "state": "QUEUED", "fence": "0", "segment": "0", **values}


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode() if value not in (None, {}) else ""


def _decoded(text: str | None) -> Any:
    return msgspec.json.decode(text) if text else None
