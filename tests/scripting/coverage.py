"""Makes ``docs/reference/script-coverage.md``: which methods of which classes are held by cases.

Renew it with ``.venv/bin/python tests/scripting/coverage.py``; a test compares.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
WIRE = HERE.parent / "conformance" / "scripted"
PAGE = HERE.parents[1] / "docs" / "reference" / "script-coverage.md"
HEAD = """\
# Coverage of the script API

What scripts may call is held by cases in `tests/scripting/cases`: a script and what it returns, run
on SQLite and on PostgreSQL; for Scripted REST by the cases of requests in
`tests/conformance/scripted`. This page is made of them by `tests/scripting/coverage.py`, and a test
holds it to them. *Supported*: a case calls the method and checks what comes of it. *Partial*: it
does, and something that the original does is missing; the case says what. *Refused*: what belongs
to plugins, to Java or to pages is answered with `not available: NAME (used at line N)`.
*Missing*: no case.

The names of classes and methods are those that the package `@servicenow/glide` declares for classes
which public scripts use, and those of script includes and of methods outside scopes.

"""

STATUSES = ("held", "refused", "open")
Wanted = dict[str, set[str]]


class Held:
    """What the cases hold: methods by class, what partial ones lack, and what is refused."""

    def __init__(self) -> None:
        self.methods: dict[str, set[str]] = defaultdict(set)
        self.partial: dict[tuple[str, str], str] = {}
        self.refused: dict[str, set[str]] = defaultdict(set)
        self.cases: dict[str, int] = defaultdict(int)

    def add(self, case: Mapping[str, Any]) -> None:
        """Count one case."""
        self.cases[case["class"]] += 1
        if case.get("refused"):
            self.refused[case["class"]] |= set(case["method"])
            return
        self.methods[case["class"]] |= set(case["method"])
        for method, lack in (case.get("partial") or {}).items():
            self.partial[case["class"], method] = lack

    def add_wire(self, holds: Mapping[str, list[str]]) -> None:
        """Count what one case of a request holds."""
        for name, methods in holds.items():
            self.cases[name] += 1
            self.methods[name] |= set(methods)

    def of(self, name: str) -> set[str]:
        """Return the methods of a class that cases hold."""
        return self.methods[name]

    def status(self, item: str) -> str:
        """Return whether an item such as ``GlideRecord.query`` is held, refused or open."""
        name, _, method = item.partition(".")
        if name.startswith("sn_"):
            name, _, method = method.rpartition(".")
        if method in self.methods[name]:
            return "held"
        return "refused" if method in self.refused[name] else "open"


def held() -> Held:
    """Read all cases."""
    found = Held()
    for path in sorted((HERE / "cases").glob("*.yaml")):
        for case in yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) or []:
            found.add(case)
    for path in sorted(WIRE.glob("*.yaml")):
        case = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
        found.add_wire(case.get("holds") or {})
    return found


def wanted() -> tuple[Wanted, list[str]]:
    """Return the methods by class, and the items most used."""
    names = yaml.load((HERE / "names.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    classes: Wanted = defaultdict(set)
    for part in ("package", "others"):
        for name, methods in names[part].items():
            classes[name] |= set(methods)
    return classes, names["used"]


def page() -> str:
    """Return the whole page."""
    found = held()
    classes, used = wanted()
    for methods in (found.methods, found.refused):
        for name, names in methods.items():
            classes[name] |= names
    parts = [HEAD, *_summary(found, classes, used), *_classes(found, classes)]
    return "".join(parts)


def _summary(found: Held, classes: Wanted, used: list[str]) -> Iterator[str]:
    yield "## The items most used\n\n"
    yield f"Of the {len(used)} items that public scripts use most, these are held:\n\n"
    yield "| the first | held | refused | open |\n|---|---|---|---|\n"
    statuses = [found.status(item) for item in used]
    for count in range(50, len(used) + 1, 50):
        shares = [str(statuses[:count].count(status)) for status in STATUSES]
        yield f"| {count} | {' | '.join(shares)} |\n"
    for status in STATUSES[1:]:
        items = [f"`{item}`" for item, found in zip(used, statuses, strict=True) if found == status]
        yield f"\n{status.capitalize()}, the most used first: {', '.join(items) or 'none'}.\n"
    yield "\n"
    yield "## Classes\n\n"
    yield "| class | cases | supported | partial | refused | missing |\n|---|---|---|---|---|---|\n"
    for name in sorted(classes):
        methods, known = found.of(name), classes[name]
        partial = sum((name, method) in found.partial for method in methods)
        refused = found.refused[name] - methods
        supported, missing = len(methods) - partial, len(known - methods - refused)
        counts = (found.cases[name], supported, partial, len(refused), missing)
        yield f"| {name} | {' | '.join(str(count or '') for count in counts)} |\n"


def _classes(found: Held, classes: Wanted) -> Iterator[str]:
    for name in sorted(classes):
        methods, refused = found.of(name), found.refused[name]
        if not methods and not refused:
            continue
        yield f"\n### {name}\n\n"
        whole = sorted(method for method in methods if (name, method) not in found.partial)
        if whole:
            yield f"Supported: {_listed(whole)}.\n"
        for method in sorted(methods):
            if (name, method) in found.partial:
                yield f"\nPartial: `{method}`: {found.partial[name, method]}.\n"
        if refused - methods:
            yield f"\nRefused: {_listed(sorted(refused - methods))}.\n"
        missing = sorted(classes[name] - methods - refused)
        if missing:
            yield f"\nMissing: {_listed(missing)}.\n"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
