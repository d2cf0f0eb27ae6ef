"""One payload on its way through the engine."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from midspan.cmdb.commit import Committer, Word, words_of
from midspan.cmdb.identify import Host, Identified, Identifier, Policy
from midspan.cmdb.locks import hold_keys
from midspan.cmdb.options import Options
from midspan.cmdb.order import Hosts, find_hosts, order_of
from midspan.cmdb.outcome import (
    Duplicates,
    ItemOutcome,
    Operation,
    Outcome,
    Problem,
    Refusal,
    RelationOutcome,
)
from midspan.cmdb.partial import PARTIAL, PartialStore, joined, key_names, stored_for
from midspan.cmdb.payload import Payload, Place, Reference
from midspan.cmdb.plan import ItemPlan, Planner, Reporting
from midspan.cmdb.prepare import Cleaner, Prepared, group_equal, merge
from midspan.cmdb.relate import RelationPlanner
from midspan.cmdb.rule import RuleBook
from midspan.cmdb.search import Search, check_sight, hidden
from midspan.cmdb.tasks import Tasks
from midspan.records import RecordTransaction
from midspan.security import SYSTEM

_ROUNDS = 5
"""How often stored payloads may bring up further ones."""


class _Undone(Exception):
    """Some item has an error, and the payload is all or nothing."""


class Run:
    """Takes one payload in one transaction."""

    def __init__(
        self,
        transaction: RecordTransaction,
        book: RuleBook,
        reporting: Reporting,
        options: Options,
        *,
        dry: bool,
    ) -> None:
        self._transaction = transaction
        self._dictionary = transaction.dictionary
        self._book = book
        self._by = reporting
        self._options = options
        self._dry = dry
        self._search = Search(transaction)
        self._cleaner = Cleaner(transaction, book)
        self._ids = transaction.store.ids.sys_id
        self._identifier = Identifier(self._dictionary, self._search, _policy(reporting, options))
        self._planner = Planner(transaction, book, self._search, reporting, self._ids)
        self._payload = Payload()
        self._prepared: list[Prepared] = []
        self._hosts = Hosts({}, {})
        self._outcomes: list[ItemOutcome] = []
        self._identified: dict[int, Identified] = {}
        self._new_ids: dict[int, str] = {}
        self._plans: dict[int, ItemPlan] = {}
        self._words: dict[str, dict[str, Word]] = {}
        self._duplicates: list[Duplicates] = []
        self._taken_up: set[str] = set()
        self._references: dict[int, list[Reference]] = {}
        self._late: list[Reference] = []

    def take(self, payload: Payload) -> Outcome:
        """Carry the payload through; see ``IdentificationEngine.take``."""
        self._ready(payload)
        order = order_of(self._payload, self._hosts.indices)
        if not self._dry:
            keys = [k for each in self._prepared for k in key_names(each, self._dictionary)]
            hold_keys(self._transaction, ((key,) for key in keys))
        for index in order:
            self._identify(index)
        self._hold()
        for index in order:
            self._plan(index)
        relations = RelationPlanner(self._book, self._search, self._ids).plan(
            self._payload, self._outcomes
        )
        outcome = Outcome(
            items=self._outcomes,
            relations=relations,
            enhanced=self._options.enhanced,
            summary=self._options.generate_summary,
        )
        self._finish(outcome, order)
        return outcome

    # Making ready

    def _ready(self, payload: Payload) -> None:
        """Check and clean the items, take up stored ones, and make equal ones one."""
        prepared = [self._cleaner.prepare(item) for item in payload.items]
        check_sight(self._transaction, (rule for each in prepared for rule in each.rules))
        if self._options.keeps_partial:
            payload, prepared = self._take_up(payload, prepared)
        hosts = find_hosts(payload, prepared, self._book, self._dictionary)
        groups = group_equal(prepared, hosts.indices, self._dictionary)
        if groups.shared and self._options.deduplicates:
            payload = merge(payload, groups, self._dictionary)
            prepared = [self._cleaner.prepare(item) for item in payload.items]
            hosts = find_hosts(payload, prepared, self._book, self._dictionary)
        self._payload, self._prepared, self._hosts = payload, prepared, hosts
        for reference in payload.references:
            self._references.setdefault(reference.by.item, []).append(reference)
        self._outcomes = [
            ItemOutcome(item=each.item, cls=each.cls, warnings=list(each.warnings))
            for each in prepared
        ]
        if not self._options.deduplicates:
            for one, other in groups.shared:
                problem = _twice(one, other, prepared[other].cls)
                for index in (one, other):
                    self._outcomes[index].errors.append(problem)

    def _take_up(
        self, payload: Payload, prepared: list[Prepared]
    ) -> tuple[Payload, list[Prepared]]:
        """Join stored partial payloads that have to do with these items."""
        fresh = prepared
        for _ in range(_ROUNDS):
            names = {n for each in fresh for n in key_names(each, self._dictionary)}
            stored = stored_for(self._search, sorted(names), self._taken_up)
            fresh = []
            for sys_id, part in stored.items():
                made = [self._cleaner.prepare(item) for item in part.items]
                rules = [rule for each in made for rule in each.rules]
                if next(hidden(self._transaction, rules), None) is None:
                    self._taken_up.add(sys_id)
                    payload = joined(payload, [part])
                    fresh += made
            if not fresh:
                break
            prepared = prepared + fresh
        return payload, prepared

    # Looking up

    def _identify(self, index: int) -> None:
        outcome, prepared = self._outcomes[index], self._prepared[index]
        if prepared.problem is not None:
            outcome.errors.append(prepared.problem)
        if outcome.failed:
            return
        try:
            self._set_references(index)
            identified = self._look_up(index, prepared)
        except Refusal as refused:
            outcome.errors.append(refused.problem)
            return
        outcome.attempts = identified.attempts
        outcome.entry = identified.entry
        if identified.duplicates is not None:
            self._duplicates.append(identified.duplicates)
        if identified.problem is not None:
            outcome.errors.append(identified.problem)
            return
        self._identified[index] = identified
        if identified.found is None:
            self._new_ids[index] = self._ids()
            outcome.sys_id = self._new_ids[index]
        else:
            outcome.sys_id = identified.found.sys_id

    def _look_up(self, index: int, prepared: Prepared) -> Identified:
        table = prepared.rules[0].applies_to if prepared.rules else prepared.cls
        subject = prepared.subject()
        given = self._identifier.given(subject, table)
        if given is not None:
            return given
        if not prepared.rules[0].independent:
            subject = msgspec.structs.replace(subject, host=self._host(index))
        return self._identifier.identify(subject, prepared.rules)

    def _host(self, index: int) -> Host:
        """Return the host of a dependent item.

        Raises:
            Refusal: there is none, or it cannot be taken itself.
        """
        problem = self._hosts.problems.get(index)
        if problem is not None:
            raise Refusal(problem.code, problem.message)
        beside = self._hosts.found[index]
        outcome = self._outcomes[beside.item]
        if beside.item not in self._identified:
            raise Refusal(
                "ABANDONED",
                f"Abandoning processing payload item '{index}', since its depends on payload item "
                f"'{beside.item}' has errors",
            )
        found = self._identified[beside.item].found
        return Host(beside.dependency, outcome.cls, found.sys_id if found else "")

    def _set_references(self, index: int) -> None:
        """Set references to items that are known by now; others are set at the end."""
        prepared = self._prepared[index]
        for reference in self._references.get(index, ()):
            self._check_reference(prepared, reference)
            target = self._outcomes[reference.to.item].sys_id
            if reference.to.part or not target:
                self._late.append(reference)
            elif not reference.by.part:
                prepared.values[reference.field] = target
            else:
                _set_side(prepared, reference, target)

    def _check_reference(self, prepared: Prepared, reference: Reference) -> None:
        part, row = reference.by.part, reference.by.row
        cls = getattr(prepared, part)[row].cls if part else prepared.cls
        field = self._dictionary.table(cls).fields.get(reference.field)
        if field is None or not field.kind.reference:
            raise Refusal(
                "INVALID_INPUT_DATA",
                f"No such reference field [{reference.field[:80]}] in table [{cls}]",
            )

    def _hold(self) -> None:
        """Load what was found; unless dry, keep other writers off it first, in one order."""
        ids = sorted({i.found.sys_id for i in self._identified.values() if i.found})
        transaction = self._transaction
        if not self._dry:
            transaction.store.lock_rows(transaction.database, self._dictionary.table("cmdb"), ids)
        records = transaction.load("cmdb", ids)
        self._words = words_of(self._search, ids) if self._book.precedences else {}
        words = {
            sys_id: {field: word.last for field, word in fields.items()}
            for sys_id, fields in self._words.items()
        }
        self._planner.known(records, words)

    # Planning

    def _plan(self, index: int) -> None:
        outcome = self._outcomes[index]
        if outcome.failed:
            return
        beside = self._hosts.found.get(index)
        if beside is not None and self._outcomes[beside.item].failed:
            outcome.errors.append(_abandoned(index, beside.item))
            return
        try:
            plan = self._planner.plan(
                self._prepared[index], self._identified[index], self._new_ids.get(index, "")
            )
        except Refusal as refused:
            outcome.errors.append(refused.problem)
            return
        self._plans[index] = plan
        outcome.operation, outcome.cls, outcome.sys_id = plan.operation, plan.cls, plan.sys_id
        outcome.notes.extend(plan.notes)
        for side, _ in plan.subs:
            side.place = Place(index, side.place.part, side.place.row)
            outcome.subs.append(side)

    # Writing

    def _finish(self, outcome: Outcome, order: Sequence[int]) -> None:
        if not self._dry:
            committer = Committer(self._transaction, self._search, self._by)
            try:
                with self._transaction.database.savepoint():
                    self._write(committer, order, outcome.relations)
                    if outcome.failed and not self._options.commits_partly:
                        raise _Undone
                outcome.committed = True
            except _Undone:
                pass
            with self._transaction.acting(SYSTEM):
                self._leave_tasks()
        if outcome.failed and not self._options.commits_partly:
            _give_up(outcome, self._by.source)
        if self._options.keeps_partial:
            self._keep(outcome)

    def _write(
        self, committer: Committer, order: Sequence[int], relations: list[RelationOutcome]
    ) -> None:
        for index in order:
            plan, item = self._plans.get(index), self._outcomes[index]
            beside = self._hosts.found.get(index)
            if plan is None:
                continue
            if beside is not None and self._outcomes[beside.item].failed:
                item.errors.append(_abandoned(index, beside.item))
                continue
            committer.item(item, plan)
            if not item.failed:
                self._note(committer, index, plan)
        for reference in self._late:
            self._refer(committer, reference)
        for relation in relations:
            self._relate(committer, relation)

    def _note(self, committer: Committer, index: int, plan: ItemPlan) -> None:
        """Note who said it, by what name, and for which fields."""
        committer.said(plan.sys_id, plan.claimed, self._words.get(plan.sys_id, {}))
        prepared = self._prepared[index]
        if prepared.item.source is not None:
            committer.source(prepared.item.source, plan.cls, plan.sys_id)
        for side, _ in plan.subs:
            sub = getattr(prepared, side.place.part)[side.place.row]
            if sub.source is not None and side.sys_id:
                committer.source(sub.source, side.cls, side.sys_id)

    def _refer(self, committer: Committer, reference: Reference) -> None:
        by, to = self._at(reference.by), self._at(reference.to)
        if by is not None and to is not None:
            committer.reference(*by, reference.field, to[1])

    def _at(self, place: Place) -> tuple[str, str] | None:
        """Return class and id of what stands at a place, where it was written."""
        outcome = self._outcomes[place.item]
        if outcome.failed:
            return None
        if not place.part:
            return outcome.cls, outcome.sys_id
        sides = [s for s in outcome.subs if (s.place.part, s.place.row) == (place.part, place.row)]
        return (sides[0].cls, sides[0].sys_id) if sides and sides[0].sys_id else None

    def _relate(self, committer: Committer, relation: RelationOutcome) -> None:
        if relation.errors or relation.operation is not Operation.INSERT:
            return
        ends = self._at(relation.relation.parent), self._at(relation.relation.child)
        if ends[0] is None or ends[1] is None:
            relation.operation = Operation.NO_CHANGE
            relation.errors.append(_ends_failed())
            return
        kind = self._book.relations_named(relation.relation.type)[0]
        values = {"parent": ends[0][1], "child": ends[1][1], "type": kind}
        committer.relation(relation, values)

    def _leave_tasks(self) -> None:
        tasks = Tasks(self._transaction, self._search)
        for found in self._duplicates:
            tasks.duplicates(found)
        for record, wanted, direction in self._planner.moves_refused:
            tasks.reclassification(record, wanted, direction)

    # What could not be taken

    def _keep(self, outcome: Outcome) -> None:
        """Say of each failed item whether it is kept for later; unless dry, keep it."""
        partial = self._partial()
        failed = [index for index, each in enumerate(outcome.items) if each.failed]
        for index in failed:
            item = outcome.items[index]
            item.sys_id, item.operation = "", Operation.INCOMPLETE
            if index in partial:
                item.operation = Operation.PARTIAL
        _mark_relations(outcome, partial)
        if not self._dry:
            with self._transaction.acting(SYSTEM):
                self._store(outcome, partial, [i for i in failed if i not in partial])
        for index in partial:
            item = outcome.items[index]
            item.warnings, item.errors = item.warnings + item.errors, []
        for relation in outcome.relations:
            if relation.operation is Operation.PARTIAL:
                relation.warnings, relation.errors = relation.errors, []

    def _store(self, outcome: Outcome, partial: set[int], incomplete: list[int]) -> None:
        store = PartialStore(self._transaction, self._dictionary)
        store.forget(sorted(self._taken_up))
        store.keep(self._payload, self._prepared, outcome.items, partial, self._by.source)
        if incomplete:
            items = [self._payload.items[index] for index in incomplete]
            problems = [p for index in incomplete for p in outcome.items[index].errors]
            kept = store.keep_incomplete(items, problems, self._by.source)
            for index in incomplete:
                outcome.items[index].stored_as.append(kept)

    def _partial(self) -> set[int]:
        """Return the failed items that a later payload may complete."""
        found: set[int] = set()
        for index in order_of(self._payload, self._hosts.indices):
            codes = {problem.code for problem in self._outcomes[index].errors}
            beside = self._hosts.found.get(index)
            waits = codes == {"ABANDONED"} and beside is not None and beside.item in found
            known = key_names(self._prepared[index], self._dictionary)
            if codes and known and (codes <= PARTIAL or waits):
                found.add(index)
        return found


def _policy(by: Reporting, options: Options) -> Policy:
    properties = by.properties
    threshold = properties.get("glide.identification_engine.skip_duplicates.threshold", "").strip()
    conditions = "glide.identification_engine.enable_identifier_optional_condition"
    skipped = "glide.identification_engine.skip_sys_object_source_matching"
    return Policy(
        skip_duplicates=by.on("glide.identification_engine.skip_duplicates"),
        threshold=int(threshold) if threshold.isdecimal() and len(threshold) < 7 else 5,
        conditions=properties.get(conditions) == "true",
        sources=properties.get(skipped) != "true",
        enhanced=options.enhanced,
    )


def _set_side(prepared: Prepared, reference: Reference, target: str) -> None:
    part, row = reference.by.part, reference.by.row
    rows = list(getattr(prepared, part))
    values = {**rows[row].values, reference.field: target}
    rows[row] = msgspec.structs.replace(rows[row], values=values)
    setattr(prepared, part, tuple(rows))


def _twice(one: int, other: int, cls: str) -> Problem:
    return Problem(
        "DUPLICATE_PAYLOAD_RECORDS",
        f"Found duplicate items in the payload (index {one} and {other}), using className [{cls}]."
        " Remove duplicate items from payload",
    )


def _abandoned(index: int, host: int) -> Problem:
    return Problem(
        "ABANDONED",
        f"Abandoning processing payload item '{index}', since its depends on payload item '{host}'"
        " has errors",
    )


def _ends_failed() -> Problem:
    return Problem("ABANDONED", "While processing relations encountered errors in payload item")


def _mark_relations(outcome: Outcome, partial: set[int]) -> None:
    """A relation that waits for a partial item waits with it."""
    for relation in outcome.relations:
        ends = {relation.relation.parent.item, relation.relation.child.item}
        if relation.errors and ends & partial:
            relation.operation = Operation.PARTIAL


def _give_up(outcome: Outcome, source: str) -> None:
    """Nothing of an all-or-nothing payload was written."""
    for item in outcome.items:
        item.operation = Operation.NO_CHANGE
        if not item.failed:
            told = f"Detected error while processing payload from {source}"
            item.errors.append(Problem("ABANDONED", told))
        item.sys_id = ""
    for relation in outcome.relations:
        relation.operation, relation.sys_id = Operation.NO_CHANGE, ""
