"""The map of connections on the start page: what flows in and out, and who opens which of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import urlsplit

from msgspec import Struct

from midspan.api import html
from midspan.api.viewer import Viewer
from midspan.flow import FLOWS
from midspan.flow.definition import ActionStep
from midspan.records import Record


class Wire(Struct, frozen=True):
    """A kind of connection: who opens it, to whom, and what goes through it, as HTML."""

    title: str
    opener: str
    other: str
    uses: tuple[str, ...]
    behind: str = ""
    """What the opener connects to on its other side."""


def traffic(viewer: Viewer) -> str:
    """Return the section with every connection that the viewer may know of."""
    wires = [_inbound(viewer), *_outbound(viewer), *_agents(viewer)]
    return html.section(
        "Who opens which connection",
        html.paragraph(
            "An arrow leads away from the side that opens the connection: that is what a firewall"
            " has to allow. Data may flow both ways.",
            soft=True,
        ),
        f"<ul class=map>{''.join(_drawn(wire) for wire in wires)}</ul>",
    )


def _drawn(wire: Wire) -> str:
    behind = (
        f"{_node(wire.behind)}{_arrow('◀── opens ──', 'reached by a connection that is opened by')}"
    )
    return (
        f"<li class=card><h3>{escape(wire.title)}</h3>"
        f"<div class=wire>{behind if wire.behind else ''}{_node(wire.opener)}"
        f"{_arrow('── opens ──▶', 'opens a connection to')}{_node(wire.other)}</div>"
        f"{html.bullets(wire.uses)}</li>"
    )


def _node(text: str) -> str:
    return f"<span class=node>{escape(text)}</span>"


def _arrow(drawn: str, said: str) -> str:
    """Return an arrow for the eye and the same in words for who listens."""
    seen = f"<span aria-hidden=true>{drawn}</span>"
    return f"<span class=arrow>{seen}<span class=sr>{said}</span></span>"


def _inbound(viewer: Viewer) -> Wire:
    uses = [f"REST Table API at <code>{escape(viewer.request.base_url)}/api/now/table/…</code>"]
    uses += [
        f"Scripted REST service {html.record_link(each, each.get('name'))}"
        f" at <code>{escape(each.get('base_uri'))}</code>"
        for each in viewer.find("sys_ws_definition", "active=true^ORDERBYname")
    ]
    uses += [
        f"Files for the import {html.record_link(each, each.get('name'))}"
        for each in viewer.find("sys_data_source", "active=true^type=File^ORDERBYname")
    ]
    return Wire("Inbound", "clients and other systems", "this instance", tuple(uses))


def _outbound(viewer: Viewer) -> Iterator[Wire]:
    connections = viewer.find("http_connection", "active=true^ORDERBYname")
    if not connections and viewer.may_read("http_connection"):
        none = "No connection is set up; nothing leaves this instance."
        yield Wire("Outbound", "this instance", "(nobody)", (none,))
    for each in connections:
        name = each.get("name")
        uses = [f"Connection {html.record_link(each, name)}"]
        uses += _flows_through(viewer, name)
        through = "a MID server" if each.get("use_mid") == "true" else "this instance"
        yield Wire("Outbound", through, _goal(viewer, each), tuple(uses))


def _goal(viewer: Viewer, connection: Record) -> str:
    """Return where a connection leads: its address, or the host that the last call went to.

    The address of a webhook is in its credential, because whoever knows it may post.
    """
    origin, name = _origin(connection.get("connection_url")), connection.get("name")
    if origin or "^" in name:
        return origin or name
    last = viewer.first("sys_outbound_http_log", f"connection={name}^ORDERBYDESCsys_created_on")
    return last.get("hostname") if last else "the host in its credential"


def _flows_through(viewer: Viewer, connection: str) -> Iterator[str]:
    """Yield the active flows whose actions use a connection."""
    visible = {each.sys_id: each for each in viewer.find("sys_hub_flow", "active=true")}
    for active in viewer.transaction.snapshot.part(FLOWS):
        for step in active.flow.each():
            used = isinstance(step, ActionStep) and step.connection == connection
            if used and active.sys_id in visible:
                link = html.link(html.nav_path("sys_hub_flow", active.sys_id), active.flow.name)
                yield f"Flow {link} with the action <code>{escape(action_name(step))}</code>"


def action_name(step: object) -> str:
    """Return ``spoke.action`` of a step, nothing for another kind of step."""
    return f"{step.spoke}.{step.action}" if isinstance(step, ActionStep) else ""


def _agents(viewer: Viewer) -> Iterator[Wire]:
    sources = viewer.find("sys_data_source", "active=true^type=JDBC^ORDERBYname")
    for each in viewer.find("ecc_agent", "ORDERBYname"):
        name = each.get("name")
        about = html.record_link(each, name)
        uses = (
            f"MID server {about} asks for work and brings results; nothing connects to it",
            *map(_source, sources),
        )
        behind = "databases in its network" if sources else ""
        yield Wire("MID server", f"MID server {name}", "this instance", uses, behind)


def _source(source: Record) -> str:
    link, target = html.record_link(source, source.get("name")), source.get("mid_target")
    if target:
        return (
            f"Data source {link}: the target <code>{escape(target)}</code>, whose address and"
            " password only the MID server knows"
        )
    return f"Data source {link}: address and credential are on its record"


def _origin(url: str) -> str:
    """Return scheme, host and port of an address, if there is one, never what else it may hold.

    >>> _origin("https://user:word@chat.example.com:8443/secret")
    'https://chat.example.com:8443'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else ""


def listed(items: Iterable[str]) -> str:
    """Return items with commas between them, each once, empty ones left out.

    >>> listed(["b", "", "a", "b"])
    'a, b'
    """
    return ", ".join(sorted(set(items) - {""}))
