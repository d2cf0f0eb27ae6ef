"""Host calls behind ``sn_fd.FlowAPI``: scripts start flows, follow them and cancel them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from midspan.flow.journal import ENDED
from midspan.flow.service import FlowService
from midspan.flow.trigger import FLOWS, ActiveFlow, RunStart
from midspan.kernel.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    RecordNotFound,
    Unavailable,
    did_you_mean,
)
from midspan.records import RecordTransaction
from midspan.sandbox import JsonValue
from midspan.scripting import Unit

LONGEST = 25.0
"""Seconds that a script waits for a flow; a script as a whole has 30."""
_LOOK = 0.05
_BY = "script"


class FlowCalls:
    """Answers the ``flow.`` calls of one session."""

    def __init__(self, unit: Unit, flows: FlowService, wake: Callable[[], None]) -> None:
        self._unit = unit
        self._flows = flows
        self._wake = wake

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "flow.start": self.start,
            "flow.state": self.state,
            "flow.wait": self.wait,
            "flow.cancel": self.cancel,
        }

    def start(self, name: str, table: str, record: str) -> JsonValue:
        """Queue a run of a flow for a record; return its id and the name of the flow.

        Raises:
            NotFound: no active flow has the name.
            InvalidRequest: the flow is for records of another table.
            RecordNotFound: there is no such record.
        """
        with self._unit.writing(enforce=False) as transaction:
            active = _named(transaction, name)
            wanted = active.flow.trigger.table
            if not table or not transaction.dictionary.is_a(table, wanted):
                raise InvalidRequest(
                    f"Flow {name} starts for a record of {wanted}",
                    hint="Give it as the input current: startFlow(name, {current: gr}).",
                )
            found = transaction.load(table, (record,)).get(record)
            if found is None:
                raise RecordNotFound(table, record)
            run = self._unit.store.ids.sys_id()
            start = RunStart(run=run, table=found.table, record=record, key=run, by=_BY)
            self._flows.triggers.start(active, start, found.values, transaction)
            transaction.after_commit(self._wake)
        return {"run": run, "name": active.flow.name}

    def state(self, run: str) -> JsonValue:
        """Return state, error and outputs of a run; None when there is none."""
        with self._unit.reading(enforce=False) as transaction:
            found = transaction.load("sys_flow_context", (run,)).get(run)
        if found is None:
            return None
        outputs = found.get("outputs")
        return {
            "state": found.get("state"),
            "error": found.get("error"),
            "outputs": msgspec.json.decode(outputs) if outputs else {},
        }

    def wait(self, run: str, millis: float) -> JsonValue:
        """Wait until a run has ended and return what ``state`` does.

        Raises:
            Conflict: the script is part of a transaction, so the run cannot begin yet.
            Unavailable: it has not ended in time; it goes on.
        """
        if self._unit.enclosing is not None:
            raise Conflict(
                "A flow cannot be waited for inside a transaction",
                hint="It begins after the commit: start it in the background.",
            )
        seconds = min(millis / 1000 if millis > 0 else LONGEST, LONGEST)
        deadline = time.monotonic() + seconds
        while True:
            found: Any = self.state(run)
            if found is None or found["state"] in ENDED:
                return found  # type: ignore[no-any-return]
            if time.monotonic() > deadline:
                raise Unavailable(f"Flow run {run} has not ended within {seconds:g} s; it goes on")
            time.sleep(_LOOK)

    def cancel(self, run: str) -> bool:
        """Cancel a run that has not ended; tell whether there was one."""
        with self._unit.writing(enforce=False) as transaction:
            return self._flows.journal.cancel(transaction, run)


def _named(transaction: RecordTransaction, name: str) -> ActiveFlow:
    """Return the active flow that a script names, with its scope before a dot or without."""
    inner = name.rpartition(".")[2]
    quoted = inner.replace("^", "^^")
    rows = transaction.find("sys_hub_flow", f"internal_name={quoted}^ORname={quoted}^type=flow")
    known = {active.sys_id: active for active in transaction.snapshot.part(FLOWS)}
    for row in rows:
        if row.sys_id in known:
            return known[row.sys_id]
    if rows:
        raise NotFound(f"Flow {name} is not active", hint="Activate and publish it.")
    names = [row.get("internal_name") for row in transaction.find("sys_hub_flow", "type=flow")]
    raise NotFound(f"There is no flow {name}", hint=did_you_mean(inner, names))
