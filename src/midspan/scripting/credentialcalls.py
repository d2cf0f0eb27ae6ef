"""Host calls behind sn_cc: credentials and connections of aliases, secrets one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from midspan.dictionary import Storage
from midspan.kernel.errors import NotFound
from midspan.outbound.connection import find_connection
from midspan.records import Record, RecordTransaction
from midspan.sandbox import JsonValue
from midspan.scripting.unit import Unit

CREDENTIALS = "discovery_credentials"
_log = logging.getLogger("midspan.script")


class CredentialCalls:
    """Answers the ``credential.`` and ``connection.`` calls.

    A script gets names and settings of a credential at once, a secret only when it asks for that
    one; each time is logged with the user whom the script acts for.
    """

    def __init__(self, unit: Unit, lend: Callable[[bool, bool], Any]) -> None:
        self._unit = unit
        self._lend = lend

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "credential.get": self.get,
            "credential.ofAlias": self.of_alias,
            "credential.find": self.find,
            "credential.secret": self.secret,
            "connection.list": self.connections,
        }

    def get(self, sys_id: str) -> JsonValue:
        """Return an active credential, or None."""
        with self._lend(False, False) as transaction:
            return _shown(transaction, _active(transaction, sys_id))

    def of_alias(self, alias: str) -> JsonValue:
        """Return the credential of an alias (sys_id, id or name), or None.

        That of its connection; for an alias of credentials the first that lists it, by order.
        """
        with self._lend(False, False) as transaction:
            found = _alias(transaction, alias)
            if found is None:
                return None
            query = f"credential_aliasCONTAINS{found.sys_id}^active=true^ORDERBYorder"
            record = transaction.first(CREDENTIALS, query)
            if record is None:
                connection = _connection(transaction, found)
                record = _active(transaction, connection.get("credential")) if connection else None
            return _shown(transaction, record)

    def find(self, types: list[str], tags: str) -> list[JsonValue]:
        """Return the active credentials of some types and with one of some tags, by order.

        Both are for all when they are empty.
        """
        wanted = _tags(tags)
        with self._lend(False, False) as transaction:
            found = transaction.find(CREDENTIALS, "active=true^ORDERBYorder", limit=1000)
            tagged = [one for one in found if not wanted or wanted & _tags(one.get("tag"))]
            shown = (_shown(transaction, record) for record in tagged)
            return [one for one in shown if one is not None and _is_type(one, types)]

    def secret(self, sys_id: str, name: str) -> str:
        """Return the clear text of an encrypted field of an active credential.

        Raises:
            NotFound: there is no such credential or field.
        """
        with self._lend(False, False) as transaction:
            record = _active(transaction, sys_id)
            if record is None or name not in _secrets(transaction, record):
                raise NotFound(f"There is no secret {name!r} of credential {sys_id!r}")
            stored = record.get(name)
        user = self._unit.actor.user_name
        _log.info("script of %s read %s of credential %s", user, name, record.get("name"))
        return self._unit.store.reveal(record.table, record.sys_id, name, stored)

    def connections(self, alias: str) -> list[JsonValue]:
        """Return the active connections of an alias (sys_id, id or name), by order."""
        with self._lend(False, False) as transaction:
            found = _alias(transaction, alias)
            if found is None:
                return []
            query = f"connection_alias={found.sys_id}^active=true^ORDERBYorder"
            shown: list[JsonValue] = []
            for record in transaction.find("sys_connection", query, limit=100):
                whole = transaction.load(record.table, (record.sys_id,)).get(record.sys_id)
                if whole is not None:
                    credential = _active(transaction, whole.get("credential"))
                    shown.append(
                        {
                            "values": _plain(transaction, whole),
                            "credential": _shown(transaction, credential),
                        }
                    )
            return shown


def _tags(text: str) -> set[str]:
    return {tag.strip().lower() for tag in text.split(",")} - {""}


def _alias(transaction: RecordTransaction, text: str) -> Record | None:
    if not text:
        return None
    quoted = text.replace("^", "^^")
    for field in ("sys_id", "id", "name"):
        found: Record | None = transaction.first("sys_alias", f"{field}={quoted}")
        if found is not None:
            return found
    return None


def _connection(transaction: RecordTransaction, alias: Record) -> Record | None:
    try:
        return find_connection(transaction, alias.get("id") or alias.get("name"))
    except NotFound:
        return None


def _active(transaction: RecordTransaction, sys_id: str) -> Record | None:
    if not sys_id:
        return None
    base = transaction.load(CREDENTIALS, (sys_id,)).get(sys_id)
    if base is None or base.get("active") == "false":
        return None
    return transaction.load(base.table, (sys_id,)).get(sys_id)


def _secrets(transaction: RecordTransaction, record: Record) -> list[str]:
    fields = transaction.dictionary.table(record.table).fields.values()
    return [field.name for field in fields if field.kind.secret]


def _plain(transaction: RecordTransaction, record: Record) -> dict[str, JsonValue]:
    return {
        field.name: record.get(field.name)
        for field in transaction.dictionary.table(record.table).fields.values()
        if field.storage is not Storage.NONE and not field.kind.secret
    }


def _shown(transaction: RecordTransaction, record: Record | None) -> JsonValue:
    if record is None:
        return None
    return {
        "sys_id": record.sys_id,
        "class": record.table,
        "values": _plain(transaction, record),
        "secrets": [*_secrets(transaction, record)],
    }


def _is_type(shown: JsonValue, types: list[str]) -> bool:
    if not types or not isinstance(shown, dict):
        return not types
    values = shown["values"]
    kind = values.get("type") if isinstance(values, dict) else ""
    names = {str(shown["class"]), str(shown["class"]).removesuffix("_credentials"), str(kind)}
    return bool(names & set(types))
