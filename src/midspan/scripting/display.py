"""Display values for scripts: labels, referenced names, dates in the user's zone and format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from midspan.dictionary import Dictionary, Field, Storage
from midspan.formats import dates
from midspan.formats.amounts import dollars, typed_number
from midspan.kernel.errors import InvalidValue, MidspanError
from midspan.query import ALWAYS, Operator, ReadPlan, Test, both, display_path
from midspan.query.functions import function_path, is_function
from midspan.records import PROPERTIES, RecordTransaction
from midspan.scripting.locale import Locale, locale_of

MASK = "********"
_ALL_ENTRIES = 10_000
_LENGTHS = ("glide_duration", "timer")
"""Types of lengths of time, which are stored as the instant that long after 1970."""


def display_texts(
    transaction: RecordTransaction, table: str, name: str, texts: Sequence[str], *, secure: bool
) -> list[str]:
    """Return what people see for values of one field, in order; one read for all references.

    With ``secure`` a record that the actor may not read stays the id that it was.
    """
    dictionary = transaction.dictionary
    if is_function(name):
        field = function_path(dictionary, table, name, dates.format_internal(dates.EPOCH)).field
    else:
        field = dictionary.field(table, name)
    if field.kind.secret:
        return [MASK if text else "" for text in texts]
    if field.kind.reference or field.kind.multiple:
        return _referenced(transaction, field, texts, secure=secure)
    locale = _locale(transaction)
    return [_plain(dictionary, locale, field, text) if text else "" for text in texts]


def stored_text(transaction: RecordTransaction, table: str, name: str, shown: str) -> str | None:
    """Return the value that is displayed as ``shown``; None when there is none.

    A text that is already a value of the field is returned as it is.
    """
    field = transaction.dictionary.field(table, name)
    if not shown:
        return ""
    if field.reference and field.reference in transaction.dictionary:
        if field.kind.multiple:
            return _ids_of(transaction, field.reference, shown)
        if field.kind.reference:
            return _id_of(transaction, field.reference, shown)
    if field.storage is Storage.DATETIME and field.type not in (*_LENGTHS, "glide_time"):
        return _moment(_locale(transaction), shown)
    if field.storage is Storage.DATE:
        return _day(_locale(transaction), shown)
    if field.storage in (Storage.INTEGER, Storage.DECIMAL) and not field.choices:
        return typed_number(shown)
    found = (choice.value for choice in field.choices if choice.label == shown)
    return next(found, shown)


def journal_text(
    transaction: RecordTransaction, place: tuple[str, str, str], count: int, *, secure: bool
) -> str:
    """Return the newest ``count`` entries of a journal field (all for -1), newest first.

    ``place`` is table, sys_id and field. With ``secure`` authors whom the actor may not read are
    shown by their user names.
    """
    table, sys_id, name = place
    entries = transaction.find(
        "sys_journal_field",
        f"element_id={sys_id}^element={name}^ORDERBYDESCsys_created_on^ORDERBYDESCsys_id",
        limit=count if count > 0 else _ALL_ENTRIES,
    )
    label = transaction.dictionary.field(table, name).label
    authors = {entry.get("sys_created_by") for entry in entries}
    names = _user_names(transaction, authors, secure=secure)
    locale = _locale(transaction)
    shown = [
        f"{_instant(locale, entry.get('sys_created_on'))} - "
        f"{names.get(entry.get('sys_created_by'), entry.get('sys_created_by'))} ({label})\n"
        f"{entry.get('value')}\n\n"
        for entry in entries
    ]
    return "".join(shown)


def _user_names(
    transaction: RecordTransaction, users: Iterable[str], *, secure: bool
) -> dict[str, str]:
    wanted = tuple(sorted(user for user in users if user))
    if not wanted:
        return {}
    columns = tuple(transaction.dictionary.path("sys_user", n) for n in ("user_name", "name"))
    access = transaction.access.names(columns[1]) if secure else ALWAYS
    condition = both(Test(columns[0], Operator.IN, wanted), access)
    plan = ReadPlan(table="sys_user", columns=columns, condition=condition)
    return {row[0]: row[1] for row in transaction.run(plan) if row[0] and row[1]}


def _plain(dictionary: Dictionary, locale: Locale, field: Field, text: str) -> str:
    if field.choices:
        return field.label_of(text) or text
    if field.type in ("sys_class_name", "table_name"):
        return dictionary.table(text).label if text in dictionary else text
    if field.type in ("currency", "price"):
        return dollars(text)
    if field.type == "glide_time":
        return text[11:] if len(text) == len("1970-01-01 00:00:00") else text
    if field.type in _LENGTHS:
        return _kept(lambda: dates.duration_words(dates.parse_duration(text)), text)
    if field.storage is Storage.DATETIME:
        return _kept(lambda: _instant(locale, text), text)
    if field.storage is Storage.DATE:
        return _kept(lambda: dates.to_display(text, "UTC", locale.date), text)
    return text


def _kept(convert: Callable[[], str], text: str) -> str:
    """Return what a text is shown as; a script may have set one that is no proper value."""
    try:
        return convert()
    except InvalidValue:
        return text


def _locale(transaction: RecordTransaction) -> Locale:
    return locale_of(transaction.actor, transaction.snapshot.part(PROPERTIES))


def _instant(locale: Locale, text: str) -> str:
    return dates.to_display(text, locale.zone, locale.pattern) if text else ""


def _moment(locale: Locale, shown: str) -> str:
    try:
        return dates.from_display(shown, locale.zone, locale.pattern)
    except MidspanError:
        try:
            return dates.format_internal(dates.parse_any(shown, locale.zone))
        except InvalidValue:
            return shown


def _day(locale: Locale, shown: str) -> str:
    try:
        return dates.from_display(shown, "UTC", locale.date)[:10]
    except MidspanError:
        return shown


def _ids_of(transaction: RecordTransaction, table: str, shown: str) -> str:
    """Return the ids of a list's names; what is no name, such as an address, stays."""
    parts = [part.strip() for part in shown.split(",")]
    return ",".join(_id_of(transaction, table, part) or part for part in parts if part)


def _id_of(transaction: RecordTransaction, table: str, shown: str) -> str | None:
    known = transaction.dictionary.table(table)
    for name in (known.display, "sys_id"):
        path = transaction.dictionary.path(table, name)
        if path.field.kind.reference or path.field.storage is Storage.NONE:
            continue
        columns = (transaction.dictionary.path(table, "sys_id"),)
        condition = Test(path, Operator.EQUALS, (shown,))
        rows = transaction.run(ReadPlan(table=table, columns=columns, condition=condition, limit=1))
        if rows:
            return str(rows[0][0])
    return None


def _referenced(
    transaction: RecordTransaction, field: Field, texts: Sequence[str], *, secure: bool
) -> list[str]:
    lists = [text.split(",") if field.kind.multiple else [text] for text in texts]
    wanted = dict.fromkeys(part for parts in lists for part in parts if part)
    names = _names(transaction, field.reference or "", tuple(wanted), secure=secure)
    if names is not None and not field.kind.multiple and not secure:
        return [names.get(text, "") for text in texts]  # a record that is gone has no name
    known = names or {}
    return [", ".join(known.get(part, part) for part in parts) for parts in lists]


def _names(
    transaction: RecordTransaction, table: str, sys_ids: tuple[str, ...], *, secure: bool
) -> Mapping[str, str] | None:
    """Return the names of records by id; None where the table has none."""
    dictionary = transaction.dictionary
    if not sys_ids or table not in dictionary or dictionary.table(table).display == "sys_id":
        return None
    own = dictionary.path(table, "sys_id")
    shown = dictionary.path(table, dictionary.table(table).display)
    if shown.field.storage is Storage.NONE:
        return None
    shown = display_path(dictionary, table, shown) or shown
    access = transaction.access.names(shown) if secure else ALWAYS
    condition = both(Test(own, Operator.IN, sys_ids), access)
    plan = ReadPlan(table=table, columns=(own, shown), condition=condition)
    return {row[0]: row[1] or "" for row in transaction.run(plan) if row[0]}
