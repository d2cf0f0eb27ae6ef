"""The identification and reconciliation engine: one way in for every source of items.

A payload goes through these steps: its items are made ready, joined with what is kept of earlier
payloads, and equal ones made one; each is looked up by the rules of its class; what it says is
weighed against what other sources said; then all of it is written in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping

from midspan.cmdb.options import BASIC, Options
from midspan.cmdb.outcome import ItemOutcome, Outcome, Problem
from midspan.cmdb.partial import PartialStore
from midspan.cmdb.payload import Payload
from midspan.cmdb.plan import Reporting
from midspan.cmdb.rulebook import RULES
from midspan.cmdb.run import Run
from midspan.records import PROPERTIES, RecordStore, RecordTransaction
from midspan.security import SYSTEM, Actor


class IdentificationEngine:
    """Takes payloads for one instance; safe to use from many threads."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    def commit(
        self, actor: Actor, payload: Payload, source: str, options: Options = BASIC
    ) -> Outcome:
        """Identify and write the items of a payload in a transaction of their own.

        Raises:
            NotAuthorized: the actor may not read all that identification looks at.
        """
        with self._records.write(actor) as transaction:
            return self.take(transaction, payload, source, options)

    def query(
        self, actor: Actor, payload: Payload, source: str, options: Options = BASIC
    ) -> Outcome:
        """Tell what ``commit`` would do now; nothing is written.

        Raises:
            NotAuthorized: the actor may not read all that identification looks at.
        """
        with self._records.read(actor) as transaction:
            return self.take(transaction, payload, source, options, dry=True)

    def take(
        self,
        transaction: RecordTransaction,
        payload: Payload,
        source: str,
        options: Options = BASIC,
        *,
        dry: bool = False,
    ) -> Outcome:
        """Take a payload inside the caller's transaction; ``dry`` writes nothing.

        Raises:
            NotAuthorized: the actor may not read all that identification looks at.
        """
        book = transaction.snapshot.part(RULES)
        properties: Mapping[str, str] = transaction.snapshot.part(PROPERTIES)
        reporting = Reporting(
            source=source,
            now=transaction.now,
            now_text=transaction.now_text,
            properties=properties,
            keeps_seen=options.skip_updating_source_last_discovered_to_now,
            keeps_scan=options.skip_updating_last_scan_to_now,
        )
        wrong = source_problem(transaction, source)
        if wrong is not None:
            return _refused(transaction, payload, source, wrong, options, dry=dry)
        return Run(transaction, book, reporting, options, dry=dry).take(payload)


def source_problem(transaction: RecordTransaction, source: str) -> Problem | None:
    """Return what is wrong with the name of a source."""
    field = transaction.dictionary.field("cmdb_ci", "discovery_source")
    if any(choice.value == source for choice in field.choices):
        return None
    needed = "choice value from choice field [discovery_source] in table [cmdb_ci]"
    told = (
        f"In payload invalid data source [{source[:80]}] exist. You need to provide a valid "
        "choice value from field [discovery_source] in table [cmdb_ci]"
        if source
        else f"In payload no data source exist. You need to provide {needed}"
    )
    return Problem("INVALID_INPUT_DATA", told)


def _refused(
    transaction: RecordTransaction,
    payload: Payload,
    source: str,
    problem: Problem,
    options: Options,
    *,
    dry: bool,
) -> Outcome:
    """Refuse a payload as a whole, and keep it for people to look at."""
    outcomes = [ItemOutcome(item=i, cls=i.cls, errors=[problem]) for i in payload.items]
    if not dry:
        with transaction.acting(SYSTEM):
            store = PartialStore(transaction, transaction.dictionary)
            kept = store.keep_incomplete(payload.items, [problem], source[:40])
        for outcome in outcomes:
            outcome.stored_as.append(kept)
    return Outcome(items=outcomes, enhanced=options.enhanced, summary=options.generate_summary)
