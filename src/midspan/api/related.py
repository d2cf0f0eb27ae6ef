"""What belongs to a record, below it on its page: the steps of a run, the errors of an import, …"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from msgspec import Struct

from midspan.api import html
from midspan.records import Snapshot
from midspan.records.layouts import DEFAULT, related_of

MOST = 20
_GROUPS = re.compile(r"(?<!\^)\^NQ")
"""Parts of a query that hold each for itself; a double caret is a sign of a value."""


class Related(Struct, frozen=True):
    """Rows of ``table`` whose ``field`` points to the record, narrowed and in some order."""

    table: str
    field: str
    order: str = "ORDERBYDESCsys_created_on"

    def query(self, sys_id: str) -> str:
        """Return the encoded query of the rows of a record."""
        return "^NQ".join(f"{self.field}={sys_id}^{part}" for part in _GROUPS.split(self.order))


RELATED: Mapping[str, tuple[Related, ...]] = {
    "sys_flow_context": (
        Related("sys_flow_step_run", "context", "ORDERBYposition"),
        Related("sys_flow_log", "context", "ORDERBYorder"),
        Related("sys_outbound_http_log", "source_record"),
    ),
    "sys_hub_flow": (Related("sys_flow_context", "flow"),),
    "sys_import_set": (Related("sys_import_set_run", "set"),),
    "sys_import_set_run": (Related("sys_import_set_row_error", "import_set_run", "ORDERBYrow"),),
    "sys_data_source": (
        Related("scheduled_import_set", "data_source"),
        Related("sys_import_set", "data_source"),
    ),
    "sys_transform_map": (
        Related("sys_transform_entry", "map", "ORDERBYorder"),
        Related("sys_import_set_run", "sys_transform_map"),
    ),
    "sys_web_service": (
        Related("sys_web_service_input", "web_service", "ORDERBYorder"),
        Related("sys_web_service_output", "web_service", "ORDERBYorder"),
    ),
    "sys_ws_definition": (Related("sys_ws_operation", "web_service_definition", "ORDERBYname"),),
    "ecc_agent": (Related("ecc_queue", "mid_server"),),
    "ecc_queue": (Related("ecc_queue", "response_to"),),
    "change_request": (
        Related("change_task", "change_request"),
        Related("sys_flow_context", "source_record"),
    ),
    "incident": (Related("sys_flow_context", "source_record"),),
    "u_demo_result": (Related("u_demo_evidence", "result", "ORDERBYorder"),),
}
"""By table; for its descendants too. Other references are found through the lists."""


def lists_of(snapshot: Snapshot, table: str, view: str) -> tuple[Related, ...]:
    """Return what the form of a view shows below a record, else the default view, else ours."""
    for name in dict.fromkeys((view, DEFAULT)):
        laid_out = related_of(snapshot, table, name)
        if laid_out is not None:
            return tuple(Related(one.table, one.field, one.query) for one in laid_out)
    ancestors = snapshot.dictionary.ancestors(table)
    return tuple(each for cls in ancestors for each in RELATED.get(cls, ()))


def related(
    lists: tuple[Related, ...],
    sys_id: str,
    lister: Callable[[str, str, int], tuple[str, str, int]],
) -> str:
    """Return a section for each kind of rows that belong to a record and that there are.

    ``lister`` takes table, query and limit and returns the title, the rows as an HTML table and how
    many there are in all.
    """
    parts = []
    for each in lists:
        title, rows, total = lister(each.table, each.query(sys_id), MOST)
        if not total:
            continue
        more = ""
        if total > MOST:
            query = urlencode({"sysparm_query": each.query(sys_id)})
            path = f"{html.nav_path(each.table)}?{query}"
            more = f"<p>{html.link(path, f'All {total:,}')}</p>"
        parts.append(html.section(title, rows, more))
    return "".join(parts)
