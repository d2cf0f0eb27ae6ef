"""Collects the records that files define, by table and key, and resolves what they refer to. Pure.

Folders of apps and seed files have the same kinds of entries. ``file`` is kept with each record;
``place`` says more exactly, for errors, where it is described.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from midspan.apps.definition import (
    AccessFile,
    PropertyFile,
    RecordDefinition,
    RoleFile,
    convert,
    text,
)
from midspan.kernel.errors import InvalidDefinition, did_you_mean
from midspan.kernel.ids import derived_id

Keys = dict[tuple[str, str], str]
"""The sys_id of each named record: (table, key) to id."""

_OPERATIONS = ("read", "write", "create", "delete", "execute")
_REF = re.compile(r",(?=ref:)")


class Entries:
    """The records of one app; ``keys`` are those of others, and this one's are added."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._records: list[RecordDefinition] = []
        self._places: dict[tuple[str, str], str] = {}

    def add(
        self, table: str, key: str, values: Mapping[str, str], file: str, sys_id: str = ""
    ) -> str:
        """Add a record; return its sys_id, which is derived where none is given.

        Raises:
            InvalidDefinition: there is one with this id already; names both places.
        """
        sys_id = sys_id or derived_id(table, key)
        if (table, sys_id) in self._places:
            first = self._places[(table, sys_id)]
            raise InvalidDefinition(
                f"{file}: the record {key!r} of {table} is defined already, in {first}",
                hint="Give one of them another key.",
            )
        self._places[(table, sys_id)] = file
        self._keys[(table, key)] = sys_id
        self._records.append(RecordDefinition(table, sys_id, dict(values), file))
        return sys_id

    def record(
        self, table: str, raw: Mapping[str, Any], file: str, read: Callable[[Any, str], str]
    ) -> str:
        """Add a record as files give it: ``key``, ``sys_id`` and values, which ``read`` reads."""
        given = dict(raw)
        sys_id = text(given.pop("sys_id", ""))
        key = text(given.pop("key", "")) or sys_id or text(given.get("name"))
        if not key:
            raise InvalidDefinition(
                f"{file}: a record of {table} has neither key, sys_id nor name",
                hint="Give it a key; its sys_id is derived from table and key.",
            )
        values = {name: read(value, file) for name, value in given.items()}
        return self.add(table, key, values, file, sys_id)

    def roles(self, roles: Iterable[tuple[str, Any, str, str]]) -> None:
        """Add roles: name, what is said of it, file and place of each."""
        contained = []
        for name, raw, file, place in roles:
            role = convert(raw or {}, RoleFile, place)
            values = {
                "name": name,
                "description": role.description,
                "elevated_privilege": text(role.elevated),
                "grantable": text(role.grantable),
            }
            role_id = self.add("sys_user_role", name, values, file, role.sys_id)
            contained += [(name, role_id, other, file) for other in role.includes]
        for name, role_id, other, file in contained:
            values = {"role": role_id, "contains": f"ref:sys_user_role/{other}"}
            self.add("sys_user_role_contains", f"{name}/{other}", values, file)

    def access(self, raw: Any, file: str, place: str) -> None:
        """Add an access rule, once for each of its operations."""
        rule = convert(raw, AccessFile, place)
        _check_access(rule, place)
        for operation in rule.operations or (rule.operation,):
            key = f"{rule.name}/{operation}/{','.join(rule.roles)}/{rule.condition}"
            values = {
                "name": rule.name,
                "operation": operation,
                "type": rule.type,
                "condition": rule.condition,
                "script": rule.script,
                "advanced": text(bool(rule.script)),
                "description": rule.description,
                "active": "true",
                "admin_overrides": "true",
            }
            rule_id = self.add("sys_security_acl", key, values, file)
            for role in rule.roles:
                link = {"sys_security_acl": rule_id, "sys_user_role": f"ref:sys_user_role/{role}"}
                self.add("sys_security_acl_role", f"{key}/{role}", link, file)

    def property(self, name: str, raw: Any, file: str, place: str) -> None:
        """Add a system property: a plain value, or what else there is to say of it."""
        entry = convert(raw if isinstance(raw, dict) else {"value": raw}, PropertyFile, place)
        values = {
            "name": name,
            "value": text(entry.value),
            "type": entry.type,
            "description": entry.description,
            "choices": ",".join(entry.choices),
            "is_private": text(entry.private),
            "read_roles": ",".join(entry.read_roles),
            "write_roles": ",".join(entry.write_roles),
        }
        self.add("sys_properties", name, values, file)

    def resolved(self) -> tuple[RecordDefinition, ...]:
        """Return the records in their order, each ``ref:table/key`` replaced by that record's id.

        Raises:
            InvalidDefinition: there is no such record; the hint is the nearest key.
        """
        return tuple(self._resolved(record) for record in self._records)

    def _resolved(self, record: RecordDefinition) -> RecordDefinition:
        if not any(value.startswith("ref:") for value in record.values.values()):
            return record
        values = {name: self._reference(value, record) for name, value in record.values.items()}
        return RecordDefinition(record.table, record.sys_id, values, record.file)

    def _reference(self, value: str, record: RecordDefinition) -> str:
        if not value.startswith("ref:"):
            return value
        if len(values := _REF.split(value)) > 1:
            return ",".join(self._reference(item, record) for item in values)
        table, _, key = value.removeprefix("ref:").partition("/")
        found = self._keys.get((table, key))
        if found is None:
            near = did_you_mean(key, (known for place, known in self._keys if place == table))
            raise InvalidDefinition(
                f"{record.file}: no app has a record {key!r} of {table}", hint=near
            )
        return found


def _check_access(rule: AccessFile, place: str) -> None:
    """Refuse a rule without an operation, or with nothing that could ever grant it."""
    operations = rule.operations or (rule.operation,)
    wrong = next((name for name in operations if name not in _OPERATIONS), None)
    if wrong is not None:
        raise InvalidDefinition(
            f"{place}: {rule.name} has no operation {wrong!r}",
            hint=did_you_mean(wrong, _OPERATIONS) or f"Known: {', '.join(_OPERATIONS)}",
        )
    if not (rule.roles or rule.condition or rule.script):
        raise InvalidDefinition(
            f"{place}: {rule.name} would never grant anything",
            hint="Give it roles, a condition or a script.",
        )
