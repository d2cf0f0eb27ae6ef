"""``sys_trigger``: when each schedule item fires next, for those who look there.

The rows follow the items, in the same transaction; what makes an item fire is its job.
"""

from __future__ import annotations

from datetime import datetime

from midspan.dictionary.values import datetime_text
from midspan.kernel.ids import derived_id
from midspan.records import ChangeOptions, Record, RecordTransaction, delete, insert, update
from midspan.records.change import Change
from midspan.security import SYSTEM

TRIGGERS = "sys_trigger"
TYPES = {"once": "0", "periodically": "1", "daily": "2", "weekly": "3", "monthly": "4"}
"""``trigger_type`` by the kind of run of an item."""
_QUIET = ChangeOptions(rules=False)


def keep_trigger(transaction: RecordTransaction, item: Record, fires: datetime | None) -> None:
    """Let the row of an item say when it fires next; it has none while it does not."""
    sys_id = derived_id(TRIGGERS, item.sys_id)
    stored = transaction.load(TRIGGERS, (sys_id,)).get(sys_id)
    change = _change(stored, sys_id, None if fires is None else _values(item, fires))
    if change is not None:
        with transaction.acting(SYSTEM):
            transaction.apply(change)


def is_kept(transaction: RecordTransaction, item: Record, fires: datetime | None) -> bool:
    """Tell whether ``keep_trigger`` would change nothing."""
    sys_id = derived_id(TRIGGERS, item.sys_id)
    stored = transaction.load(TRIGGERS, (sys_id,)).get(sys_id)
    return _change(stored, sys_id, None if fires is None else _values(item, fires)) is None


def _values(item: Record, fires: datetime) -> dict[str, str]:
    return {
        "name": item.get("name"),
        "next_action": datetime_text(fires),
        "trigger_type": TYPES.get(item.get("run_type") or "daily", "0"),
        "state": "0",
        "document": item.table,
        "document_key": item.sys_id,
    }


def _change(stored: Record | None, sys_id: str, values: dict[str, str] | None) -> Change | None:
    if values is None:
        found = None if stored is None else delete(TRIGGERS, sys_id)
    elif stored is None:
        found = insert(TRIGGERS, values, sys_id=sys_id)
    elif any(stored.get(name) != text for name, text in values.items()):
        found = update(TRIGGERS, sys_id, values)
    else:
        found = None
    return (
        None
        if found is None
        else Change(
            table=found.table,
            operation=found.operation,
            sys_id=found.sys_id,
            values=found.values,
            options=_QUIET,
        )
    )
