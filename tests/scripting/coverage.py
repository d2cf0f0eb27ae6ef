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
PAGE = HERE.parents[1] / "docs" / "reference" / "script-coverage.md"
HEAD = """\
# Coverage of the script API

What scripts may call is held by cases in `tests/scripting/cases`: a script and what it returns, run
on SQLite and on PostgreSQL. This page is made of them by `tests/scripting/coverage.py`, and a test
holds it to them. *Supported*: a case calls the method and checks what comes of it. *Partial*: it
does, and something that the original does is missing; the case says what. *Missing*: no case.

The names of classes and methods are those that the package `@servicenow/glide` declares for classes
which public scripts use, and those of script includes and of methods outside scopes.

"""

Wanted = dict[str, set[str]]


class Held:
    """What the cases hold: methods by class, and what is missing in those that are partial."""

    def __init__(self) -> None:
        self.methods: dict[str, set[str]] = defaultdict(set)
        self.partial: dict[tuple[str, str], str] = {}
        self.cases: dict[str, int] = defaultdict(int)

    def add(self, case: Mapping[str, Any]) -> None:
        """Count one case."""
        self.cases[case["class"]] += 1
        self.methods[case["class"]] |= set(case["method"])
        for method, lack in (case.get("partial") or {}).items():
            self.partial[case["class"], method] = lack

    def of(self, name: str) -> set[str]:
        """Return the methods of a class that cases hold."""
        return self.methods[name]


def held() -> Held:
    """Read all cases."""
    found = Held()
    for path in sorted((HERE / "cases").glob("*.yaml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8")) or []:
            found.add(case)
    return found


def wanted() -> tuple[Wanted, list[str]]:
    """Return the methods by class, and the items most used."""
    names = yaml.safe_load((HERE / "names.yaml").read_text(encoding="utf-8"))
    classes: Wanted = defaultdict(set)
    for part in ("package", "others"):
        for name, methods in names[part].items():
            classes[name] |= set(methods)
    return classes, names["used"]


def page() -> str:
    """Return the whole page."""
    found = held()
    classes, used = wanted()
    for name, methods in found.methods.items():
        classes[name] |= methods
    parts = [HEAD, *_summary(found, classes, used), *_classes(found, classes)]
    return "".join(parts)


def _summary(found: Held, classes: Wanted, used: list[str]) -> Iterator[str]:
    yield "## The items most used\n\n"
    yield f"Of the {len(used)} items that public scripts use most, these are held:\n\n"
    yield "| the first | held | not held |\n|---|---|---|\n"
    for count in (50, 100, 150, 200, len(used)):
        lacking = [item for item in used[:count] if not _is_held(found, item)]
        yield f"| {count} | {count - len(lacking)} | {len(lacking)} |\n"
    lacking = [f"`{item}`" for item in used if not _is_held(found, item)]
    yield f"\nNot held, the most used first: {', '.join(lacking) or 'none'}.\n\n"
    yield "## Classes\n\n"
    yield "| class | cases | supported | partial | missing |\n|---|---|---|---|---|\n"
    for name in sorted(classes):
        methods, known = found.of(name), classes[name]
        partial = sum((name, method) in found.partial for method in methods)
        supported, missing = len(methods) - partial, len(known - methods)
        counts = (found.cases[name], supported, partial, missing)
        yield f"| {name} | {' | '.join(str(count or '') for count in counts)} |\n"


def _classes(found: Held, classes: Wanted) -> Iterator[str]:
    for name in sorted(classes):
        methods = found.of(name)
        if not methods:
            continue
        yield f"\n### {name}\n\n"
        whole = sorted(method for method in methods if (name, method) not in found.partial)
        if whole:
            yield f"Supported: {_listed(whole)}.\n"
        for method in sorted(methods):
            if (name, method) in found.partial:
                yield f"\nPartial: `{method}`: {found.partial[name, method]}.\n"
        missing = sorted(classes[name] - methods)
        if missing:
            yield f"\nMissing: {_listed(missing)}.\n"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _is_held(found: Held, item: str) -> bool:
    name, _, method = item.partition(".")
    return method in found.of(name)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
