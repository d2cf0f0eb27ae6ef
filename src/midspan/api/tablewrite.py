"""Values as clients send them, to the wire texts that a change holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from midspan.api.displayvalue import Locale, locale_of
from midspan.api.tablerequest import WriteRequest
from midspan.dictionary import Field, Storage, Table
from midspan.dictionary.values import canonical
from midspan.formats import JsonValue, dates, lenient_json
from midspan.formats.datepattern import compile_pattern
from midspan.kernel.errors import InvalidValue
from midspan.query import ALWAYS, NEVER
from midspan.records import PROPERTIES, Record, RecordTransaction
from midspan.records.lookup import find_reference

_SYS_ID = re.compile(r"[0-9A-Za-z]{32}")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL keeps neither NUL nor halves of a character; both databases must agree."""
_DATE_TIMES = frozenset({"glide_date_time", "due_date"})


class Incoming:
    """Turns the members of one body into wire texts and collects what it left out."""

    def __init__(
        self,
        transaction: RecordTransaction,
        table: Table,
        wanted: WriteRequest,
        record: Record | None = None,
    ) -> None:
        """``record`` is the one that is changed; None: a new one is made."""
        self._transaction = transaction
        self._table = table
        self._wanted = wanted
        self._record = record
        self._locale: Locale | None = None
        self.warnings: list[str] = []

    def values(self) -> dict[str, str]:
        """Return the wire text of every known field of the body.

        Raises:
            InvalidValue: a text does not fit the type of its field.
        """
        found: dict[str, str] = {}
        writable = self._writable()
        for name, value in self._wanted.values.items():
            if name == "sys_id":
                continue  # sys_id() tells which one is taken
            field = self._table.fields.get(name)
            if field is None:
                self.warnings.append(
                    f"Field left out: table {self._table.name} has no field {name[:80]}"
                )
                continue
            if name not in writable:
                self.warnings.append(f"Field left as it is: you may not write {name}")
            found[name] = self._text(field, as_text(value, display=self._wanted.display_input))
        return found

    def _writable(self) -> frozenset[str]:
        names = [name for name in self._wanted.values if name in self._table.fields]
        if self._record is not None:
            return frozenset(self._transaction.allowed(self._record, names, "write"))
        rows, table = self._transaction.access.field_rows, self._table.name
        return frozenset(name for name in names if rows(table, name, "create") != NEVER)

    def sys_id(self) -> str:
        """Return the id that the body asks for, or ``''``.

        To be told that an id is taken is to learn of the record that has it. So an id may be chosen
        by whoever may read every record that could have it.
        """
        given = as_text(self._wanted.values.get("sys_id"))
        if given and not _SYS_ID.fullmatch(given):
            self.warnings.append("Given sys_id left out: it needs 32 letters and digits")
            return ""
        if given and self._transaction.enforce:
            others = self._transaction.access.rows(self._table.physical, "read")
            if others != ALWAYS:
                self.warnings.append("Given sys_id left out: not all records may be read")
                return ""
        return given

    def _text(self, field: Field, text: str) -> str:
        if field.kind.reference:
            return self._reference(field, text)
        if field.kind.multiple and text:
            parts = (self._reference(field, part) for part in text.split(",") if part.strip())
            return ",".join(part for part in parts if part)
        if self._wanted.display_input and text:
            text = self._from_display(field, text)
        if field.storage is Storage.TEXT:
            if len(text) > field.max_length and not field.kind.secret:
                self.warnings.append(f"Field {field.name} cut to {field.max_length} characters")
            return text
        return canonical(field, text)

    def _reference(self, field: Field, text: str) -> str:
        found = find_reference(self._transaction, field, text)
        if found is None:
            self.warnings.append(f"Field {field.name} left empty: no record is called {text[:80]}")
            return ""
        if not found.alone:
            self.warnings.append(
                f"Field {field.name}: several records are called {text[:80]},"
                f" {found.sys_id} is taken"
            )
        return found.sys_id

    def _from_display(self, field: Field, text: str) -> str:
        if field.choices:
            found = choice_value(field, text)
            if found is None:
                self.warnings.append(f"Field {field.name}: no choice is called {text[:80]}")
            return text if found is None else found
        if field.type in _DATE_TIMES:
            locale = self._reader()
            return _first_fit(
                text,
                lambda: dates.from_display(text, locale.zone, locale.pattern),
                lambda: dates.from_display(text, locale.zone),
            )
        if field.storage is Storage.DATE:
            pattern = compile_pattern(self._reader().date)
            return _first_fit(text, lambda: dates.format_date(pattern.parse(text)))
        return text

    def _reader(self) -> Locale:
        if self._locale is None:
            properties: Mapping[str, str] = self._transaction.snapshot.part(PROPERTIES)
            self._locale = locale_of(self._transaction.actor, properties)
        return self._locale


def as_text(value: JsonValue, *, display: bool = False) -> str:
    """Return the text of one JSON value.

    >>> as_text(True), as_text(None), as_text(1), as_text(2.5), as_text({"value": "x"})
    ('true', '', '1', '2.5', 'x')
    >>> as_text(["a", "b"]), as_text({"a": 2**70})
    ('a,b', '{"a":1180591620717411303424}')
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return "" if value == "NULL" else _NOT_STORABLE.sub("", value)
        case int() | float():
            return str(value)
        case list():
            return ",".join(as_text(part, display=display) for part in value)
        case dict():
            return _object_text(value, display=display)


def choice_value(field: Field, text: str) -> str | None:
    """Return the stored value of a choice label or value, None where no choice has it.

    ``1 - High`` is understood for a choice that is stored as 1 and called High.
    """
    lowered = text.strip().lower()
    for choice in field.choices:
        if lowered in (choice.label.lower(), f"{choice.value} - {choice.label}".lower()):
            return choice.value
    return text if any(choice.value == text for choice in field.choices) else None


def _object_text(value: Mapping[str, JsonValue], *, display: bool) -> str:
    names = ("display_value", "value") if display else ("value", "display_value")
    for name in names:
        if name in value:
            return as_text(value[name])
    if "link" in value and isinstance(value["link"], str):
        return as_text(value["link"].rstrip("/").rpartition("/")[2])
    return lenient_json.dumps(value).decode()  # which writes integers of any length, too


def _first_fit(text: str, *readers: Callable[[], str]) -> str:
    """Return what the first reader makes of a text; the text where none can read it."""
    for read in readers:
        try:
            return read()
        except InvalidValue:
            continue
    return text
