"""The document that tells what became of a payload; scripts and REST callers get the same.

Source: the vendor's documentation of the Identification and Reconciliation API.
"""

from __future__ import annotations

from collections.abc import Iterable

from midspan.cmdb.outcome import (
    UNKNOWN,
    Attempt,
    ItemOutcome,
    Operation,
    Outcome,
    Problem,
    RelationOutcome,
    SubOutcome,
)
from midspan.formats import JsonValue

_COUNTED = {
    Operation.INSERT: "inserted",
    Operation.NO_CHANGE: "unchanged",
    Operation.PARTIAL: "partial",
    Operation.INCOMPLETE: "incomplete",
}
_COUNTS = (
    "inserted",
    "updated",
    "unchanged",
    "partial",
    "incomplete",
    "skipped",
    "errors",
    "warnings",
    "mergedPartialPayloads",
    "additionalInserted",
)


def answer_of(outcome: Outcome) -> dict[str, JsonValue]:
    """Return the document: what was in the payload first, what came back of stored ones apart."""
    given = [item for item in outcome.items if item.item.indices]
    body: dict[str, JsonValue] = {
        "items": [_item(item, outcome) for item in given],
        "additionalCommittedItems": [
            _item(item, outcome)
            for item in outcome.items
            if not item.item.indices and not item.item.anchor
        ],
        "relations": [
            _relation(r, outcome) for r in outcome.relations if r.relation.index is not None
        ],
        "additionalCommittedRelations": [
            _relation(r, outcome) for r in outcome.relations if r.relation.index is None
        ],
    }
    if outcome.enhanced and outcome.summary:
        body["hasError"] = outcome.failed
        body["hasWarning"] = outcome.doubtful
        body["summary"] = _summary(outcome.items)
    return body


def _item(item: ItemOutcome, outcome: Outcome) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {
        "className": item.cls,
        "operation": item.operation.value,
    }
    known = item.sys_id and (outcome.committed or item.operation is not Operation.INSERT)
    if item.errors or item.operation is Operation.PARTIAL:
        body["sysId"] = UNKNOWN
    elif known:
        body["sysId"] = item.sys_id
    body["identifierEntrySysId"] = item.entry or UNKNOWN
    body["identificationAttempts"] = [_attempt(each) for each in item.attempts]
    if item.subs or item.item.lookup or item.item.related:
        subs = [_sub(sub, item, outcome) for sub in item.subs]
        body["relatedSysIds"] = [sub.get("sysId") for sub in subs]
        body["relatedItems"] = [*subs]
    body["additionalRelatedItems"] = []
    if item.notes:
        body["info"] = [
            {"code": note.code, "message": note.message, "ruleSysId": note.rule}
            for note in item.notes
        ]
    if item.stored_as:
        name = "incompleteSysIds" if item.operation is not Operation.PARTIAL else "partialSysIds"
        body[name] = list(item.stored_as)
    body["inputIndices"] = list(item.item.indices)
    body["mergedPayloadIds"] = list(item.item.merged)
    return body | _told(item.errors, item.warnings, enhanced=outcome.enhanced)


def _sub(sub: SubOutcome, item: ItemOutcome, outcome: Outcome) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {"className": sub.cls, "operation": sub.operation.value}
    if sub.sys_id and (outcome.committed or sub.operation is not Operation.INSERT):
        body["sysId"] = sub.sys_id
    offset = len(item.item.lookup) if sub.place.part == "related" else 0
    body["inputIndices"] = [
        {"mainIndex": index, "subIndex": sub.place.row + offset} for index in item.item.indices[:1]
    ]
    body["mergedPayloadIds"] = []
    return body | _told(sub.errors, sub.warnings, enhanced=outcome.enhanced)


def _relation(relation: RelationOutcome, outcome: Outcome) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {
        "className": "cmdb_rel_ci",
        "operation": relation.operation.value,
    }
    if relation.sys_id and (outcome.committed or relation.operation is not Operation.INSERT):
        body["sysId"] = relation.sys_id
    index = relation.relation.index
    body["inputIndices"] = [] if index is None else [index]
    body["mergedPayloadIds"] = []
    return body | _told(relation.errors, relation.warnings, enhanced=outcome.enhanced)


def _told(
    errors: Iterable[Problem], warnings: Iterable[Problem], *, enhanced: bool
) -> dict[str, JsonValue]:
    wrong, doubtful = _problems(errors), _problems(warnings)
    body: dict[str, JsonValue] = {"markers": [], "errorCount": len(wrong)}
    if wrong or enhanced:
        body["errors"] = wrong
    if doubtful:
        body["warnings"] = doubtful
    if doubtful or enhanced:
        body["warningCount"] = len(doubtful)
    return body


def _problems(problems: Iterable[Problem]) -> list[JsonValue]:
    return [{"error": each.code, "message": each.message} for each in problems]


def _attempt(attempt: Attempt) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {
        "identifierName": attempt.rule,
        "attemptResult": attempt.result.value,
        "attributes": list(attempt.attributes),
        "hybridEntryCiAttributes": list(attempt.own),
    }
    if attempt.table:
        body["searchOnTable"] = attempt.table
    if attempt.info:
        body["info"] = attempt.info
    return body


def _summary(items: Iterable[ItemOutcome]) -> dict[str, JsonValue]:
    """Return counts by class, those of side rows under their own."""
    counts: dict[str, dict[str, int]] = {}

    def add(cls: str, name: str, number: int = 1) -> None:
        counts.setdefault(cls, dict.fromkeys(_COUNTS, 0))[name] += number

    for item in items:
        if item.item.anchor:
            continue
        inserted = item.operation is Operation.INSERT and not item.item.indices
        add(item.cls, "additionalInserted" if inserted else _counted(item.operation))
        add(item.cls, "mergedPartialPayloads", len(item.item.merged))
        add(item.cls, "errors", len(item.errors))
        add(item.cls, "warnings", len(item.warnings))
        for sub in item.subs:
            add(sub.cls, _counted(sub.operation) if sub.sys_id else "skipped")
            add(sub.cls, "warnings", len(sub.warnings))
    return {cls: dict(found) for cls, found in counts.items()}


def _counted(operation: Operation) -> str:
    return _COUNTED.get(operation, "updated")
