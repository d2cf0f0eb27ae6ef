"""How the Attachment API shows an attachment: its row, its address, and who made it."""

from __future__ import annotations

from collections.abc import Sequence

from midspan.api.request import Request
from midspan.api.router import api_version
from midspan.api.tableread import full_names, read_record, shown_view
from midspan.api.tablerequest import RowShape
from midspan.records import RecordTransaction

TABLE = "sys_attachment"


def file_url(request: Request, sys_id: str) -> str:
    """Return the address of a file's bytes, in the version of the request."""
    version = api_version(request.path)
    root = f"/api/now/{f'{version}/' if version else ''}attachment"
    return f"{request.base_url}{root}/{sys_id}/file"


def description(request: Request, transaction: RecordTransaction, sys_id: str) -> dict[str, object]:
    """Return the metadata of one attachment as the actor of the transaction sees it.

    Raises:
        RecordNotFound: there is none, or the actor may not read it.
    """
    view = shown_view(transaction.snapshot, TABLE, RowShape())
    row = read_record(request, transaction, view, sys_id)
    return described(request, transaction, [row])[0]


def described(
    request: Request, transaction: RecordTransaction, rows: Sequence[dict[str, object]]
) -> list[dict[str, object]]:
    """Return rows with what this API adds to them."""
    authors = {
        str(row.get(f"sys_{what}_by", "")) for row in rows for what in ("created", "updated")
    }
    names = full_names(transaction, authors - {""})
    return [
        {
            **row,
            "download_link": file_url(request, str(row["sys_id"])),
            "created_by_name": names.get(str(row.get("sys_created_by", "")), ""),
            "updated_by_name": names.get(str(row.get("sys_updated_by", "")), ""),
        }
        for row in rows
    ]
