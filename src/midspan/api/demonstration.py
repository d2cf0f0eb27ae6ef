"""The results of the demo on the start page: read from the records that the demo wrote."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from midspan.api import html
from midspan.api.viewer import Viewer
from midspan.records import Record

RESULTS = "u_demo_result"
EVIDENCE = "u_demo_evidence"
"""Tables of the demo's app (``midspan.demo.app``); an instance without it does not have them."""


def demonstration(viewer: Viewer) -> str:
    """Return the section of the results; empty where no demo ran or the viewer may not see it."""
    results = viewer.find(RESULTS, "ORDERBYorder")
    if not results:
        return ""
    held = sum(result.get("held") == "true" for result in results)
    return html.section(
        "The integrations of the demo",
        html.paragraph(f"{held} of {len(results)} held as promised.", problem=held < len(results)),
        f"<ol class=cards>{''.join(_card(viewer, result) for result in results)}</ol>",
    )


def _card(viewer: Viewer, result: Record) -> str:
    held = result.get("held") == "true"
    mark = html.badge("✓ held", "good") if held else html.badge("✗ did not hold", "bad")
    facts = [
        ("Direction", escape(result.get("direction"))),
        ("Opened by", escape(result.get("opened_by"))),
        ("Went in", escape(result.get("went_in"))),
        ("Came out", escape(result.get("came_out"))),
        ("Took", escape(_took(result.get("milliseconds")))),
        ("Problem", escape(result.get("problem"))),
    ]
    evidence = viewer.find(EVIDENCE, f"result={result.sys_id}^ORDERBYorder")
    return (
        f"<li class=card><div class=head><h3>{escape(result.get('name'))}</h3>{mark}</div>"
        + html.terms((name, cell) for name, cell in facts if cell)
        + html.bullets(_evidence(viewer, each) for each in evidence)
        + "</li>"
    )


def _evidence(viewer: Viewer, each: Record) -> str:
    """Return what a record is, with a link to it as it is now."""
    label, table, record = escape(each.get("name")), each.get("table"), each.get("record")
    if not record:
        query = each.get("query")
        path = html.nav_path(table) + (f"?{urlencode({'sysparm_query': query})}" if query else "")
        return f"{label}: {html.link(path, f'{viewer.count(table, query):,} records')}"
    found = viewer.shown(table, record)
    if found is None:
        return f"{label}: no longer there"
    name, state = found
    tail = f" ({escape(state)})" if state else ""
    return f"{label}: {html.link(html.nav_path(table, record), name)}{tail}"


def _took(milliseconds: str) -> str:
    """Return the time from cause to effect for people.

    >>> _took("47"), _took("8012"), _took("")
    ('47 ms from cause to effect', '8.0 s from cause to effect', '')
    """
    if not milliseconds:
        return ""
    number = int(milliseconds)
    amount = f"{number} ms" if number < 1000 else f"{number / 1000:.1f} s"
    return f"{amount} from cause to effect"
