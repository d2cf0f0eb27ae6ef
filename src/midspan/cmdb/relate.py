"""What is to be done about the relations of a payload: each exists once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from midspan.cmdb.outcome import ItemOutcome, Operation, Problem, Refusal, RelationOutcome
from midspan.cmdb.payload import Payload, Place, Relation
from midspan.cmdb.rule import RuleBook
from midspan.cmdb.search import Search


class RelationPlanner:
    """Plans the relations of one payload."""

    def __init__(self, book: RuleBook, search: Search, new_id: Callable[[], str]) -> None:
        self._book = book
        self._search = search
        self._new_id = new_id

    def plan(self, payload: Payload, outcomes: Sequence[ItemOutcome]) -> list[RelationOutcome]:
        """Return what is to be done about each relation, in their order."""
        parents = [self._id(each.parent, outcomes) for each in payload.relations]
        stored = self._search.relations(sys_id for sys_id in parents if sys_id)
        planned = []
        for relation in payload.relations:
            outcome = RelationOutcome(relation=relation)
            try:
                self._one(relation, outcomes, stored, outcome)
            except Refusal as refused:
                outcome.errors.append(refused.problem)
            planned.append(outcome)
        return planned

    def _one(
        self,
        relation: Relation,
        outcomes: Sequence[ItemOutcome],
        stored: dict[tuple[str, str, str], str],
        outcome: RelationOutcome,
    ) -> None:
        kind = self._type(relation.type)
        parent, child = (self._id(end, outcomes) for end in (relation.parent, relation.child))
        if not parent or not child:
            failed = relation.parent.item if not parent else relation.child.item
            outcome.errors.append(
                Problem(
                    "ABANDONED",
                    f"While processing relations encountered errors in payload item: {failed}",
                )
            )
            return
        if parent == child:
            raise Refusal("INVALID_INPUT_DATA", f"Relation of item [{parent}] with itself")
        known = stored.get((parent, child, kind))
        outcome.operation = Operation.NO_CHANGE if known else Operation.INSERT
        outcome.sys_id = known or self._new_id()
        stored[parent, child, kind] = outcome.sys_id

    def _type(self, name: str) -> str:
        found = self._book.relations_named(name)
        if not found:
            raise Refusal(
                "INVALID_INPUT_DATA",
                f"No such relationship with name [{name[:80]}] exist in table [cmdb_rel_type]. If "
                f"out-of-box relationship for [{name[:80]}] has been removed or renamed, it should "
                "be restored",
            )
        if len(found) > 1:
            raise Refusal(
                "DUPLICATE_RELATIONSHIP_TYPES",
                f"Duplicate relationship type records exists with name [{name}] in table "
                f"[cmdb_rel_type] having sys_ids: [{', '.join(found)}]",
            )
        return found[0]

    def _id(self, place: Place, outcomes: Sequence[ItemOutcome]) -> str:
        """Return the id of what stands at a place; ``''`` where it has an error."""
        outcome = outcomes[place.item]
        if outcome.failed:
            return ""
        if not place.part:
            return outcome.sys_id
        for side in outcome.subs:
            if (side.place.part, side.place.row) == (place.part, place.row):
                return side.sys_id
        return ""
