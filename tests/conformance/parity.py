"""Makes ``docs/reference/parity.md`` of the wire cases: what is held, how sure it is, and by what.

Renew it with ``.venv/bin/python tests/conformance/parity.py``; a test compares.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import yaml

from midspan.api import Route, Router
from midspan.api.router import normal_path
from midspan.kernel.errors import MidspanError
from midspan.testing import open_instance

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent
PAGE = ROOT / "docs" / "reference" / "parity.md"
NAMES = {
    "attachment": "Attachment API",
    "batch": "Batch API",
    "catalog": "Service catalog",
    "cors": "CORS rules",
    "cmdb": "CMDB and identification",
    "current_user": "Who am I",
    "exports": "Exports",
    "importset": "Import Set API",
    "jsonv2": "JSONv2",
    "oauth": "Sign-in, OAuth 2.0, API keys",
    "policy": "Access policies",
    "query": "Encoded queries",
    "ratelimit": "Rate limits",
    "schema": "Tables and OpenAPI",
    "soap": "SOAP and WSDL",
    "strict": "Strict mode",
    "scripted": "Scripted REST",
    "stats": "Aggregate API",
    "table": "Table API",
    "tinyurl": "Short addresses",
    "xml": "XML",
}
"""What the folders of cases are about."""
CONFIDENCE = ("certain", "likely", "guess", "decided")
KINDS = ("docs", "client", "live", "ours")
HEAD = """\
# Parity

How far the interfaces do what clients of the original rely on, is held by cases: one file each, a
request and its answer, run against both databases, in process and over a socket. This page is made
of those files by `tests/conformance/parity.py`, and a test holds it to them.

*certain*: documented, measured on the original, or the code of a wide-spread client needs it.
*likely*: several indirect sources agree. *guess*: plausible, without a source. *decided*: the
original leaves it open, or we chose otherwise. The sources: the vendor's *docs*, code of *client*
libraries, a *live* instance, *ours*.

"""


def page() -> str:
    """Return the whole page."""
    cases = {
        name: {
            path: yaml.load(path.read_text(), yaml.CSafeLoader)
            for path in sorted(folder.glob("*.yaml"))
        }
        for folder in sorted(CASES.iterdir())
        if folder.is_dir() and any(folder.glob("*.yaml"))
        for name in [folder.name]
    }
    parts = [HEAD, "## By interface\n\n", *_interfaces(cases), "\n## By route\n\n"]
    with open_instance() as instance:
        app = instance.application()
        parts += _routes(app.router, [case for each in cases.values() for case in each.values()])
        app.close()
    for name, each in cases.items():
        parts.append(f"\n## {NAMES[name]}\n\n| case | confidence | source |\n|---|---|---|\n")
        parts += (_row(path, case) for path, case in each.items())
    return "".join(parts)


def _interfaces(cases: Mapping[str, Mapping[Path, Any]]) -> Iterator[str]:
    yield _line("interface", "cases", *CONFIDENCE, *KINDS)
    yield _line(*["---"] * (2 + len(CONFIDENCE) + len(KINDS)))
    total: Counter[str] = Counter()
    for name, each in cases.items():
        found = Counter(
            case["source"][key] for case in each.values() for key in ("confidence", "kind")
        )
        found["cases"] = len(each)
        total += found
        yield _counts(NAMES[name], found)
    yield _counts("all", total)


def _counts(name: str, found: Mapping[str, int]) -> str:
    return _line(name, *(str(found.get(key, 0) or "") for key in ("cases", *CONFIDENCE, *KINDS)))


def _routes(router: Router, cases: Iterable[Any]) -> Iterator[str]:
    """Yield a row for each route of the wire: its cases, and which parameters they send."""
    numbers: Counter[str] = Counter()
    statuses: dict[str, set[int]] = defaultdict(set)
    sent: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        route, names = _asked(router, case["request"])
        if route is not None:
            numbers[route.name] += 1
            statuses[route.name].add(case["response"]["status"])
            sent[route.name] |= names
    yield "Parameters in brackets are described, and no case sends them.\n\n"
    yield _line("route", "cases", "answers", "parameters")
    yield _line("---", "---", "---", "---")
    for route in sorted(router.routes(), key=lambda route: (route.path, route.methods)):
        if route.path.startswith(
            ("/api/now/v1/", "/api/now/v2/", "/api/sn_sc/v1/")
        ) or not _is_wire(route):
            continue
        described = route.description.parameters if route.description else ()
        known = [each.name for each in described if each.place != "path"]
        held = sent[route.name]
        shown = [name if name.lower() in held else f"[{name}]" for name in sorted(known)]
        answers = " ".join(str(status) for status in sorted(statuses[route.name]))
        yield _line(
            f"{', '.join(route.methods)} `{route.path}`",
            str(numbers[route.name] or ""),
            answers,
            ", ".join(shown),
        )


def _is_wire(route: Route) -> bool:
    return route.path.startswith(("/api/now/", "/api/sn_sc/", "/oauth_")) or (
        "{table}.do" in route.path
    )


def _asked(router: Router, request: Mapping[str, Any]) -> tuple[Route | None, set[str]]:
    path, _, query = request["path"].partition("?")
    headers = {name.lower(): str(text) for name, text in (request.get("headers") or {}).items()}
    names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    names |= {name.lower() for name in request.get("query") or {}} | headers.keys()
    method = request["method"]
    if method == "POST":
        method = headers.get("x-http-method-override", method).upper()
    try:
        route = router.find(method, normal_path(path.encode())).route
    except MidspanError:
        return None, names
    return (None if "{rest:path}" in route.path else route), names


def _row(path: Path, case: Any) -> str:
    about = " ".join(str(case["about"]).split()).replace("|", "\\|")
    link = f"[{about}](../../{path.relative_to(ROOT)})"
    return _line(link, case["source"]["confidence"], case["source"]["kind"])


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
