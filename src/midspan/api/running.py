"""What runs here, on the start page: the node, its database, jobs, flows, imports, MID servers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from midspan.api import html
from midspan.api.traffic import action_name, listed
from midspan.api.viewer import Viewer
from midspan.flow import FLOWS
from midspan.records import Record
from midspan_sdk.version import __version__

_JOBS = {
    "scheduled": "due or planned",
    "running": "running",
    "waiting": "waiting",
    "error": "failed",
    "complete": "complete",
}
_BAD = frozenset({"ERROR", "OUTCOME_UNKNOWN", "CANCELLED", "cancelled", "error", "Down"})
_GOOD = frozenset({"COMPLETE", "complete", "Up", "processed"})
_LATEST = "^ORDERBYDESCsys_created_on^ORDERBYDESCset.number"
"""Of two runs in the same second, that of the later set."""
_TABLES = (
    "incident",
    "change_request",
    "sys_user",
    "cmdb_ci_server",
    "sys_import_set_run",
    "ecc_queue",
    "sys_properties",
    "sys_security_acl",
    "sys_db_object",
)


def overview(viewer: Viewer) -> str:
    """Return version, database, node and jobs as a short list."""
    rows = [
        ("Version", f"Midspan {escape(__version__)}"),
        ("Database", escape(_database(viewer))),
        ("Node", f"<code>{escape(viewer.request.parts.node)}</code>"),
        ("Address", f"<code>{escape(viewer.request.base_url)}</code>"),
    ]
    if viewer.may_read("sys_job"):
        counts = {state: viewer.count("sys_job", f"state={state}") for state in _JOBS}
        parts = [f"{count:,} {_JOBS[state]}" for state, count in counts.items() if count]
        rows.append(("Jobs", html.link(html.nav_path("sys_job"), ", ".join(parts) or "none")))
    return f"<div class=card>{html.terms(row for row in rows if row[1])}</div>"


def _database(viewer: Viewer) -> str:
    database = viewer.transaction.database
    if database.dialect.name == "sqlite":
        name, statement = "SQLite", "SELECT sqlite_version()"
    else:
        name, statement = "PostgreSQL", "SHOW server_version"
    row = database.row(statement)
    return f"{name} {row[0]}" if row else name


def flows(viewer: Viewer) -> str:
    """Return the active flows: what starts them, what they use, how the last run ended."""
    actions = {
        active.sys_id: (active.flow.trigger, listed(map(action_name, active.flow.each())))
        for active in viewer.transaction.snapshot.part(FLOWS)
    }
    rows = []
    for each in viewer.find("sys_hub_flow", "active=true^ORDERBYname"):
        if each.sys_id not in actions:
            continue
        trigger, used = actions[each.sys_id]
        last = viewer.first("sys_flow_context", f"flow={each.sys_id}^ORDERBYDESCsys_created_on")
        rows.append(
            (
                html.record_link(each, each.get("name")),
                f"<code>{escape(trigger.table)}</code> where"
                f" <code>{escape(trigger.condition or 'anything')}</code>",
                f"<code>{escape(used)}</code>",
                f"{viewer.count('sys_flow_context', f'flow={each.sys_id}'):,}",
                _outcome(viewer, last),
            )
        )
    return _table("Flows", ("Flow", "Starts with", "Actions", "Runs", "Last run"), rows)


def imports(viewer: Viewer) -> str:
    """Return the data sources: where the rows come from, when, and how the last import ended."""
    schedules = {
        each.get("data_source"): each for each in viewer.find("scheduled_import_set", "active=true")
    }
    rows = []
    for each in viewer.find("sys_data_source", "active=true^ORDERBYname"):
        last = viewer.first("sys_import_set_run", f"set.data_source={each.sys_id}{_LATEST}")
        rows.append(
            (
                html.record_link(each, each.get("name")),
                escape(" ".join(filter(None, (each.get("type"), _format(each))))),
                _schedule(viewer, schedules.get(each.sys_id)),
                escape(_totals(last)),
                _outcome(viewer, last),
            )
        )
    return _table("Imports", ("Data source", "Kind", "When", "Last totals", "Last run"), rows)


def _format(source: Record) -> str:
    return source.get("format") if source.get("type") == "File" else "through a MID server"


def _schedule(viewer: Viewer, schedule: Record | None) -> str:
    if schedule is None:
        return "on demand"
    time = schedule.get("run_time").rpartition(" ")[2][:5]
    zone = schedule.get("time_zone")
    when = " ".join(filter(None, (viewer.text(schedule, "run_type"), time, zone)))
    return html.record_link(schedule, when)


def _totals(run: Record | None) -> str:
    if run is None:
        return ""
    names = ("inserts", "updates", "ignored", "skipped", "errors")
    return ", ".join(
        f"{int(run.get(name)):,} {name}" for name in names if run.get(name) not in ("", "0")
    )


def _outcome(viewer: Viewer, run: Record | None) -> str:
    """Return how a run stands, as a badge with a link and its time."""
    if run is None:
        return html.badge("never ran")
    when = viewer.text(run, "sys_created_on")
    state = run.get("state")
    return f"{_badge(state, viewer.text(run, 'state'))} {html.record_link(run, when)}"


def _badge(state: str, text: str) -> str:
    return html.badge(text, "good" if state in _GOOD else "bad" if state in _BAD else "")


def agents(viewer: Viewer) -> str:
    """Return the MID servers and how they are."""
    rows = [
        (
            html.record_link(each, each.get("name")),
            _badge(each.get("status"), viewer.text(each, "status")),
            escape(viewer.text(each, "validated")),
            escape(each.get("host_name")),
            escape(viewer.text(each, "last_refreshed")),
        )
        for each in viewer.find("ecc_agent", "ORDERBYname")
    ]
    return _table("MID servers", ("Name", "Status", "Validated", "Host", "Last heard of"), rows)


def tables(viewer: Viewer) -> str:
    """Return links to tables worth a look, with how many records the viewer sees."""
    dictionary = viewer.transaction.dictionary
    items = [
        f"{html.link(html.nav_path(name), dictionary.table(name).plural)}"
        f" <span class=soft>{viewer.count(name):,}</span>"
        for name in _TABLES
        if viewer.may_read(name)
    ]
    return (
        html.section("Records", f"<div class=columns>{html.bullets(items)}</div>") if items else ""
    )


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return html.section(title, html.table(heads, rows)) if rows else ""
