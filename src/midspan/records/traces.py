"""What a stored draft leaves behind: journal entries, audit rows, the payload of its event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from midspan.kernel.ids import IdSource
from midspan.records.change import Draft, Operation


def outbox_row(draft: Draft, actor: str, sys_id: str) -> dict[str, str]:
    """Return the event of a change as the dispatcher finds it; ``actor`` is a sys_id."""
    return {
        "sys_id": sys_id,
        "event": f"record.{draft.operation.value}",
        "table_name": draft.table.name,
        "record_id": draft.sys_id,
        "payload": event_payload(draft, actor),
        "state": "ready",
        "attempts": "0",
    }


def event_payload(draft: Draft, actor: str) -> str:
    """Return the event's JSON: who, and each changed field with its old and new text."""
    changes = {
        name: [old, new]
        for name, (old, new) in draft.changes().items()
        if not draft.table.fields[name].kind.secret
    }
    changes |= {name: ["", text] for name, text in draft.journal.items()}
    return orjson.dumps({"actor": actor, "changes": changes}).decode()


def journal_rows(draft: Draft, user: str, ids: IdSource) -> Iterable[dict[str, str]]:
    """Yield the journal entries that a stored draft adds, of ``user`` unless others are named.

    Their ids grow: entries of one second are told apart by them.
    """
    for name, text in draft.journal.items():
        yield {
            "sys_id": ids.uuid7().replace("-", ""),
            "name": draft.table.name,
            "element_id": draft.sys_id,
            "element": name,
            "value": text,
            "sys_created_by": draft.change.authors.get(name) or user,
        }


def audit_rows(draft: Draft, user: str) -> Iterable[dict[str, str]]:
    """Yield a row for each audited field that an update changed, secrets without their values."""
    if draft.operation is not Operation.UPDATE:
        return
    for name, (old, new) in draft.changes().items():
        field = draft.table.fields[name]
        if field.audit:
            yield {
                "tablename": draft.table.name,
                "documentkey": draft.sys_id,
                "fieldname": name,
                "oldvalue": "" if field.kind.secret else old,
                "newvalue": "" if field.kind.secret else new,
                "user": user,
            }


def deletion_rows(drafts: Sequence[Draft]) -> list[dict[str, str]]:
    """Return a row for each deleted record."""
    return [
        {
            "tablename": draft.table.name,
            "documentkey": draft.sys_id,
            "display_value": draft.old(draft.table.display),
        }
        for draft in drafts
        if draft.operation is Operation.DELETE
    ]
