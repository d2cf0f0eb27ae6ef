"""Which columns a list shows of a table: chosen ones where rows say little without them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from midspan.dictionary import Table

MOST = 6
_PREFERRED = (
    "number", "name", "user_name", "short_description", "label", "title", "state", "active",
    "assigned_to", "type", "sys_class_name", "sys_updated_on",
)  # fmt: skip
_CHOSEN: Mapping[str, tuple[str, ...]] = {
    "sys_flow_context": ("name", "state", "source_table", "started", "run_time"),
    "sys_flow_step_run": (
        "path", "kind", "state", "attempts", "duration_ms", "inputs", "outputs", "error",
    ),
    "sys_flow_log": ("message", "level", "path", "sys_created_on"),
    "sys_import_set_run": (
        "sys_transform_map", "state", "total", "inserts", "updates", "ignored", "skipped", "errors",
        "started",
    ),
    "sys_import_set_row_error": ("row", "error_code", "error_message"),
    "sys_outbound_http_log": (
        "sys_created_on", "http_method", "hostname", "response_status", "response_time", "outcome",
    ),
    "sys_transform_entry": ("source_field", "target_field", "coalesce", "choice_action"),
    "sys_ws_operation": ("name", "http_method", "operation_uri", "requires_authentication"),
    "sys_user": ("name", "user_name", "email", "department", "active", "sys_created_on"),
    "incident": (
        "number", "short_description", "priority", "state", "assigned_to", "sys_updated_on",
    ),
    "cmdb_ci_server": (
        "name", "serial_number", "ip_address", "os", "ram", "sys_updated_on",
    ),
    "ecc_queue": ("name", "topic", "queue", "agent", "state", "sys_created_on"),
    "sys_job": ("kind", "queue", "state", "attempts", "run_at", "error"),
    "u_demo_result": ("name", "held", "direction", "went_in", "came_out", "milliseconds"),
}  # fmt: skip


def list_columns(table: Table) -> tuple[str, ...]:
    """Return the fields a list of this table shows; the first one links to the record."""
    chosen = _CHOSEN.get(table.name)
    if chosen:
        return tuple(name for name in chosen if name in table.fields) or ("sys_id",)
    wanted = dict.fromkeys((table.display, *_PREFERRED))
    found = [name for name in wanted if name in table.fields and name != "sys_id"]
    return tuple(found[:MOST]) or ("sys_id",)
