"""What people and surfaces ask of flows: runs, their journals, cancelling, and a dry test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from midspan.dictionary import Table
from midspan.events import EventRegistry
from midspan.flow.check import SpokeCatalogue, actions_of, check_flow
from midspan.flow.definition import ActionStep, Flow, IfStep, LogStep, Step, parse_flow
from midspan.flow.interpreter import Interpreter, kind_of
from midspan.flow.pills import as_text, fill, run_dictionary
from midspan.flow.trigger import KIND, FlowTriggers
from midspan.flow.values import RunValues
from midspan.jobs import JobOptions, JobQueue
from midspan.kernel.errors import InvalidDefinition, MidspanError, NotFound
from midspan.outbound import Outbound, known_connections
from midspan.query import Query
from midspan.records import Draft, Operation, Record, RecordStore, RecordTransaction
from midspan.security import Actor
from midspan.security.actor import SYSTEM
from midspan_sdk import SdkError

ATTEMPTS = 20
"""How many processes a segment may outlive without getting a step further."""


class Preview(Struct, frozen=True):
    """What a step would do with a record; outputs of actions are not known and read empty."""

    path: str
    kind: str
    inputs: Any
    problem: str = ""


class RunView(Struct, frozen=True):
    """A run, its journal in order and its log lines."""

    run: Record
    steps: Sequence[Record]
    log: Sequence[Record]


class FlowService:
    """Joins triggers, interpreter and jobs; one per instance."""

    def __init__(
        self, records: RecordStore, jobs: JobQueue, outbound: Outbound, *, node: str
    ) -> None:
        self.records = records
        self.spokes = SpokeCatalogue()
        self.interpreter = Interpreter(records, outbound, self.spokes, node)
        self.journal = self.interpreter.journal
        self.triggers = FlowTriggers(self.journal, jobs)
        options = JobOptions(max_attempts=ATTEMPTS)
        jobs.register(KIND, self.interpreter.handle, options, self.interpreter.given_up)

    def attach(self, events: EventRegistry) -> None:
        """Listen to changes, and check flows when they are activated."""
        events.add(self.triggers)
        self.records.hooks.append(FlowActivation(self.spokes))

    def runs(self, actor: Actor, query: str = "", limit: int = 50) -> list[Record]:
        """Return runs, the newest first, as the actor may see them."""
        newest = "ORDERBYDESCsys_created_on"
        with self.records.read(actor) as transaction:
            text = f"{query}^{newest}" if query else newest
            return transaction.find("sys_flow_context", text, limit=limit)

    def show(self, actor: Actor, run: str) -> RunView:
        """Return a run with everything that is known of it.

        Raises:
            RecordNotFound: there is none, or the actor may not see it.
        """
        with self.records.read(actor) as transaction:
            return RunView(
                transaction.require("sys_flow_context", run),
                transaction.find("sys_flow_step_run", f"context={run}^ORDERBYposition"),
                transaction.find("sys_flow_log", f"context={run}^ORDERBYorder"),
            )

    def cancel(self, run: str) -> bool:
        """Cancel a run that has not ended; what already left stays done."""
        with self.records.write(SYSTEM, enforce=False) as transaction:
            return self.journal.cancel(transaction, run)

    def test(self, actor: Actor, flow: str, record: str) -> list[Preview]:
        """Walk an installed flow for a record without trigger and effects.

        ``flow`` is its internal name, name or sys_id; ``record`` a sys_id or number.

        Raises:
            NotFound: no such flow or record.
            InvalidDefinition: the flow is wrong; the detail lists every problem.
        """
        with self.records.read(actor) as transaction:
            found = (
                transaction.first("sys_hub_flow", f"internal_name={flow}")
                or transaction.first("sys_hub_flow", f"name={flow}")
                or transaction.get("sys_hub_flow", flow)
            )
            if found is None:
                raise NotFound(f"There is no flow {flow!r}", hint="List them: midspan flow list")
            definition = checked(found.get("definition"), transaction, self.spokes)
            table = definition.trigger.table
            subject = transaction.get(table, record)
            if subject is None and "number" in transaction.dictionary.table(table).fields:
                subject = transaction.first(table, f"number={record}")
            if subject is None:
                raise NotFound(f"There is no {table} record {record!r}")
            return self._preview(definition, subject, transaction)

    def _preview(
        self, flow: Flow, subject: Record, transaction: RecordTransaction
    ) -> list[Preview]:
        actions = actions_of(flow, self.spokes)
        dictionary = run_dictionary(transaction.dictionary, flow, actions)
        values = RunValues(transaction, dictionary, subject.values, {})
        previews: list[Preview] = []

        def walk(steps: Sequence[Step], parent: str) -> None:
            for step in steps:
                path = f"{parent}{step.id}"
                match step:
                    case LogStep():
                        message = as_text(fill(step.message, values.pill))
                        previews.append(Preview(path, "log", {"message": message}))
                    case IfStep():
                        branch = "then" if values.holds(step.condition) else "else"
                        previews.append(Preview(path, "if", {"branch": branch}))
                        walk(step.then if branch == "then" else step.otherwise, f"{path}.{branch}.")
                    case ActionStep():
                        inputs = fill(step.inputs, values.pill)
                        problem = ""
                        try:
                            actions[step.id].check(inputs)
                        except SdkError as error:
                            problem = error.message
                        previews.append(Preview(path, kind_of(step), inputs, problem))

        walk(flow.steps, "")
        return previews


def checked(text: str, transaction: RecordTransaction, spokes: SpokeCatalogue) -> Flow:
    """Return a definition in which every name exists.

    Raises:
        InvalidDefinition: the detail lists every problem.
    """
    flow = parse_flow(text)
    problems = check_flow(flow, transaction.dictionary, spokes, known_connections(transaction))
    if problems:
        raise InvalidDefinition(
            f"Flow {flow.name!r} cannot run: {problems[0]}", detail="\n".join(problems)
        )
    return flow


class FlowActivation:
    """Refuses to activate a flow that cannot run."""

    def __init__(self, spokes: SpokeCatalogue) -> None:
        self._spokes = spokes

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Look at writes of flows only."""
        return table.name == "sys_hub_flow" and operation is not Operation.DELETE

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Check a flow that is going to be active and published."""
        if not late or draft.get("active") != "true" or draft.get("status") != "published":
            return
        try:
            checked(draft.get("definition"), transaction, self._spokes)
        except MidspanError as error:
            draft.refuse(error.explain())

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Nothing follows."""

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Leave queries alone."""
        return query
