"""Credentials for agents: found by alias, opened only to be sealed for the agent of a job."""

from __future__ import annotations

from midspan.records import Record, RecordTransaction
from midspan_link.protocol import Secret

TABLE = "discovery_credentials"


class StoredSecrets:
    """``Secrets`` from the credential tables.

    An alias is the id or name of a ``sys_alias``, or the name of a credential. Of several active
    credentials that this agent may have, the one with the lowest order counts.
    """

    def find(self, transaction: RecordTransaction, alias: str, mid_sys_id: str) -> Secret | None:
        """Return the secret for an alias, or None when this agent has none."""
        if "^" in alias:
            return None
        known = transaction.first("sys_alias", f"id={alias}^ORname={alias}")
        wanted = f"credential_aliasLIKE{known.sys_id}" if known else f"name={alias}"
        for row in transaction.find(TABLE, f"{wanted}^active=true^ORDERBYorder"):
            if row.get("applies_to") == "specific" and mid_sys_id not in row.get("mid_list"):
                continue
            return _opened(transaction, transaction.load(TABLE, (row.sys_id,))[row.sys_id])
        return None


def _opened(transaction: RecordTransaction, record: Record) -> Secret:
    def clear(field: str) -> str:
        return transaction.store.reveal(record.table, record.sys_id, field, record.get(field))

    return Secret(user=record.get("user_name"), password=clear("password"), token=clear("api_key"))
