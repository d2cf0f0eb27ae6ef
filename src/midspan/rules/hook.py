"""Runs business rules with every write; the record hook of this package."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence

from midspan.dictionary import Table
from midspan.kernel.errors import MidspanError
from midspan.query import Query
from midspan.records import Draft, Operation, Record, RecordStore, RecordTransaction, Snapshot
from midspan.rules.builtin import Computed
from midspan.rules.index import RULES, RuleIndex, TableRules
from midspan.rules.later import LaterRules
from midspan.rules.phase import Phase
from midspan.rules.rule import RuleProblem
from midspan.rules.scripted import ScriptedRules
from midspan.sandbox import JsonValue

log = logging.getLogger(__name__)


class BusinessRules:
    """Runs the rules and the built-in behaviour of a record's class, in the vendor's order.

    Before rules set fields of the draft and refuse it; one that refuses does not keep later rules
    from running. After rules set fields by a second update in the same transaction; one that
    aborts takes the whole write back. Scripts run inside the transaction, too, those of async
    rules after it, as jobs.

    Without ``scripts`` rules with a script are left out; that is for a store that installs itself.
    """

    def __init__(
        self,
        records: RecordStore,
        scripts: ScriptedRules | None = None,
        later: LaterRules | None = None,
    ) -> None:
        self._records = records
        self._scripts = scripts
        self._later = later
        self._reported: frozenset[RuleProblem] = frozenset()
        records.holder.on_renewal(self._renewed)

    def problems(self) -> tuple[RuleProblem, ...]:
        """Return the active rules that cannot run."""
        return self._records.holder.current().part(RULES).problems

    # What the writer calls

    def wants(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether a class has anything to run."""
        return _rules(transaction, table, operation) is not None

    def set_based(self, table: Table, operation: Operation, transaction: RecordTransaction) -> bool:
        """Tell whether all of it looks at its own draft alone, as far as is known of scripts."""
        found = _rules(transaction, table, operation)
        if found is None:
            return True
        cut = self._scripts is not None and self._scripts.looks_elsewhere(found.scripted)
        return found.alone and not cut

    def before(self, draft: Draft, transaction: RecordTransaction, *, late: bool) -> None:
        """Run the rules of order below 1000, or the rest."""
        for error in self._before([draft], transaction, late=late, together=False).values():
            raise error

    def before_all(
        self, drafts: Sequence[Draft], transaction: RecordTransaction, *, late: bool
    ) -> Mapping[int, MidspanError]:
        """Run rules for drafts of one operation, rule by rule and not draft by draft."""
        return self._before(drafts, transaction, late=late, together=True)

    def _before(
        self, drafts: Sequence[Draft], transaction: RecordTransaction, *, late: bool, together: bool
    ) -> dict[int, MidspanError]:
        failed: dict[int, MidspanError] = {}
        for found, group in _by_class(drafts, transaction):
            with Phase(
                transaction, drafts, group, failed, self._scripts, together=together
            ) as phase:
                if late:
                    phase.before(found.late)
                else:
                    _early(phase, found)
        return failed

    def after(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Run after rules; a rule does not run again for a record while it runs for it."""
        self._after([draft], transaction, together=False)

    def after_all(self, drafts: Sequence[Draft], transaction: RecordTransaction) -> None:
        """Run after rules for stored drafts, and queue their async rules."""
        self._after(drafts, transaction, together=True)

    def _after(
        self, drafts: Sequence[Draft], transaction: RecordTransaction, *, together: bool
    ) -> None:
        failed: dict[int, MidspanError] = {}
        for found, group in _by_class(drafts, transaction):
            with Phase(
                transaction, drafts, group, failed, self._scripts, together=together
            ) as phase:
                phase.after(found.after)
                if self._later is not None:
                    self._later.queue(phase, found.later)
        if failed:
            raise failed[min(failed)]

    def settle_set(
        self, transaction: RecordTransaction, *, kept: bool, lost: Collection[str]
    ) -> None:
        """Let what scripts said about a set be heard, or forget it with the set."""
        if self._scripts is not None:
            self._scripts.settle(transaction, kept=kept, lost=lost)

    def before_query(self, table: Table, query: Query, transaction: RecordTransaction) -> Query:
        """Narrow a query as the query rules of its table ask for."""
        rules = transaction.snapshot.part(RULES).queries.get(table.name, ())
        if not rules or self._scripts is None:
            return query
        return self._scripts.narrow(table, query, rules, transaction)

    def display(
        self, record: Record, transaction: RecordTransaction
    ) -> tuple[dict[str, str], dict[str, JsonValue]]:
        """Run the display rules of a record whose page is about to be shown.

        Returns the values that they change for the reader alone, and what they put into
        ``g_scratchpad``. Reads through an API have no display rules.
        """
        rules = transaction.snapshot.part(RULES).displays.get(record.table, ())
        if not rules or self._scripts is None:
            return {}, {}
        return self._scripts.display(record, rules, transaction)

    def narrows(self, table: str | None, snapshot: Snapshot) -> bool:
        """Tell whether queries of a table, or of any, have rules."""
        queries = snapshot.part(RULES).queries
        return self._scripts is not None and (table in queries if table else bool(queries))

    def _renewed(self, snapshot: Snapshot, parts: frozenset[str]) -> None:
        """Report rules that do not run, each once as long as nothing about it changes."""
        if RULES.name not in parts:
            return
        index: RuleIndex = snapshot.part(RULES)
        new = [each for each in index.problems if each not in self._reported]
        self._reported = frozenset(index.problems)
        for problem in new:
            log.warning(
                "business rule %r of %s does not run: %s",
                problem.name,
                problem.table,
                problem.message,
                extra={"rule": problem.sys_id, "table": problem.table},
            )


def _rules(transaction: RecordTransaction, table: Table, operation: Operation) -> TableRules | None:
    return transaction.snapshot.part(RULES).find(table.name, operation)


def _by_class(
    drafts: Sequence[Draft], transaction: RecordTransaction
) -> Iterator[tuple[TableRules, list[int]]]:
    """Yield what runs for each class among drafts of one operation, with their positions."""
    groups: dict[str, list[int]] = {}
    for at, draft in enumerate(drafts):
        groups.setdefault(draft.table.name, []).append(at)
    for group in groups.values():
        found = _rules(transaction, drafts[group[0]].table, drafts[group[0]].operation)
        if found is not None:
            yield found, group


def _early(phase: Phase, found: TableRules) -> None:
    """Built-in behaviour, rules, what has to be computed again after them, and the checks."""
    for each in found.computed:
        for at in phase.left:
            phase.attempt(at, each.compute)
    inputs = {at: [_inputs(each, phase.drafts[at]) for each in found.computed] for at in phase.left}
    phase.before(found.early)
    for place, each in enumerate(found.computed):
        for at in phase.left:
            if _inputs(each, phase.drafts[at]) != inputs[at][place]:
                phase.attempt(at, each.compute)
    for each in found.checks:
        for at in phase.left:
            phase.attempt(at, each.compute)


def _inputs(computed: Computed, draft: Draft) -> list[str]:
    return [draft.get(name) for name in computed.inputs]
