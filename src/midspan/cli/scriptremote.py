"""Reads and writes script records of a running instance over its Table API."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from midspan.cli.client import Client
from midspan.cli.scriptfiles import Kind, Known, Source

_PAGE = 500
_MISSING = 404


class HttpRemote:
    """A ``Remote`` for whoever the client signs in."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def sources(self, kinds: Iterable[Kind], query: str) -> list[Source]:
        """Return the scripts of some tables that the user may read; a table that is not there has
        none."""
        found: list[Source] = []
        for kind in kinds:
            found.extend(self._of(kind, query))
        return found

    def read(self, known: Known) -> str | None:
        """Return the script of a record now, None when it is gone."""
        response = self._client.call(
            "GET", _path(known.table, known.sys_id), params={"sysparm_fields": known.column}
        )
        if response.status_code == _MISSING:
            return None
        self._client.check(response)
        return str(response.json()["result"].get(known.column) or "")

    def write(self, known: Known, text: str) -> None:
        """Replace the script of a record."""
        response = self._client.call(
            "PATCH",
            _path(known.table, known.sys_id),
            params={"sysparm_fields": "sys_id"},
            json={known.column: text},
        )
        self._client.check(response)

    def _of(self, kind: Kind, query: str) -> list[Source]:
        wanted = [f"{kind.column}ISNOTEMPTY", *filter(None, (query,)), "ORDERBYsys_id"]
        rows: list[dict[str, Any]] = []
        while True:
            response = self._client.call(
                "GET",
                f"/api/now/table/{kind.table}",
                params={
                    "sysparm_query": "^".join(wanted),
                    "sysparm_fields": ",".join(("sys_id", kind.column, *kind.names)),
                    "sysparm_exclude_reference_link": "true",
                    "sysparm_limit": str(_PAGE),
                    "sysparm_offset": str(len(rows)),
                },
            )
            if "Invalid table" in response.text:
                return []
            self._client.check(response)
            page = json.loads(response.content)["result"]
            rows += page
            if len(page) < _PAGE:
                break
        return [
            Source(
                kind,
                row["sys_id"],
                tuple(str(row.get(name) or "") for name in kind.names),
                row.get(kind.column) or "",
            )
            for row in rows
        ]


def _path(table: str, sys_id: str) -> str:
    return f"/api/now/table/{quote(table, safe='')}/{quote(sys_id, safe='')}"
