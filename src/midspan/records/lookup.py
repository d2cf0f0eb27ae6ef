"""Finds the record that a reference value means: a sys_id, a display value or a user name."""

from __future__ import annotations

import re

from msgspec import Struct

from midspan.dictionary import Dictionary, Field, FieldPath, Storage
from midspan.dictionary.values import canonical, is_valid
from midspan.query import Operator, ReadPlan, Test, display_path
from midspan.records.transaction import RecordTransaction

_SYS_ID = re.compile(r"[0-9a-fA-F]{32}")


class Referred(Struct, frozen=True):
    """The record that a text means, and whether it means no other one."""

    sys_id: str
    alone: bool = True


def resolve_reference(transaction: RecordTransaction, field: Field, text: str) -> str | None:
    """Return the sys_id that ``find_reference`` finds, or None when nothing fits."""
    found = find_reference(transaction, field, text)
    return None if found is None else found.sys_id


def find_reference(transaction: RecordTransaction, field: Field, text: str) -> Referred | None:
    """Return the record that ``text`` means in a reference field, or None when nothing fits.

    A text that looks like a sys_id is taken as one. Otherwise the target table is searched for the
    sys_id, then the display value, then, for users, the user name; of several the lowest sys_id.
    Only records that the transaction's actor may read are found.
    """
    text = text.strip()
    if not text or _SYS_ID.fullmatch(text):
        return Referred(text)
    if field.type == "domain_id" and text == "global":
        return Referred(text)
    table = field.reference
    if not table or table not in transaction.dictionary:
        return None
    for path in _keys(transaction.dictionary, table):
        if not is_valid(path.field, text):
            continue
        found = _first(transaction, table, path, text)
        if found is not None:
            return found
    return None


def _keys(dictionary: Dictionary, table: str) -> list[FieldPath]:
    names = ["sys_id"]
    display = dictionary.path(table, dictionary.table(table).display)
    shown = display_path(dictionary, table, display) or display
    if shown.field.storage is not Storage.NONE and not shown.field.kind.secret:
        names.append(shown.name)
    if dictionary.is_a(table, "sys_user"):
        names.append("user_name")
    return [dictionary.path(table, name) for name in dict.fromkeys(names)]


def _first(
    transaction: RecordTransaction, table: str, path: FieldPath, text: str
) -> Referred | None:
    if transaction.enforce and not transaction.access.path(path):
        return None
    plan = ReadPlan(
        table=table,
        columns=(transaction.dictionary.path(table, "sys_id"),),
        condition=Test(path, Operator.EQUALS, (canonical(path.field, text),)),
        limit=2,
    )
    rows = transaction.run(transaction.restrict(plan))
    return Referred(rows[0][0], alone=len(rows) == 1) if rows and rows[0] else None
