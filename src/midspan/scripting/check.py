"""Checks scripts without running them: what does not parse, and which API calls this has not.

The text is read by check.js in a worker of the sandbox, under its limits; what comes back are
names and places. ``api_names.json`` says what of the API is there: made by
``tests/scripting/api_names.py`` from the live prelude and the cases.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Any

from msgspec import Struct

from midspan.kernel.errors import nearest
from midspan.sandbox import Limits, SandboxPool, Script, ScriptError

SUPPORTED, PARTIAL, MISSING, UNKNOWN, SYNTAX = (
    "supported", "partial", "missing", "unknown", "syntax",
)  # fmt: skip
_ORDER = (SUPPORTED, PARTIAL, MISSING, UNKNOWN)
CLIENT = frozenset(
    (
        *("g_form", "g_list", "g_user", "g_menu", "GlideAjax", "GlideDialogWindow", "GlideModal"),
        *("GlideDialogForm", "GlideURL", "GlideMenu", "window", "document", "angular", "$scope"),
        *("jQuery", "NOW", "getMessage", "spUtil", "spModal", "alert", "confirm", "localStorage"),
        *("require", "module", "exports", "process", "console"),
    )
)
"""Names that only browsers or Node.js have: a script that uses one is parsed and left at that."""
_LIMITS = Limits(
    wall=timedelta(minutes=2),
    cpu=timedelta(seconds=20),
    memory=256 * 1024 * 1024,
    stack=16 * 1024 * 1024,
)
_FIELDS = ("GlideRecord", "GlideRecordSecure", "GlideElement")
_LANGUAGE = ("Object", "String")
_PLATFORM = ("Glide", "SN", "sn_")


class Finding(Struct, frozen=True):
    """One thing that is wrong: ``kind`` is ``syntax``, ``missing`` or ``unknown``."""

    file: str
    line: int
    column: int
    kind: str
    message: str
    source: str


class Use(Struct, frozen=True):
    """How often a method of a class is called, and whether it is there; ``note``: what lacks."""

    owner: str
    method: str
    status: str
    count: int
    note: str = ""


class Report(Struct):
    """What a check found in all scripts."""

    files: int = 0
    client: list[str] = []
    """Scripts of browsers or Node.js: parsed, their calls not looked at."""
    findings: list[Finding] = []
    uses: list[Use] = []
    others: dict[str, int] = {}
    """Names that are neither of the API nor of these scripts: script includes, by use."""

    def count(self, *statuses: str) -> int:
        """Return how many API calls have one of some statuses."""
        return sum(use.count for use in self.uses if use.status in statuses)


class Api:
    """What scripts may call, as ``api_names.json`` has it."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._classes: Mapping[str, Mapping[str, Any]] = names["classes"]
        self._globals = frozenset(names["globals"])
        self._spaces = frozenset(names["namespaces"])

    def holds(self, name: str) -> bool:
        """Return whether a bare name is the platform's or the language's."""
        return name in self._globals or name in self._classes or name in self._spaces

    def status(self, owner: str, method: str) -> tuple[str, str]:
        """Return the status of a method of a known class, and a note."""
        known = self._classes.get(owner)
        if known is None:
            return UNKNOWN, ""
        if not known[SUPPORTED] and not known[PARTIAL]:
            return MISSING, ""
        if method in known[PARTIAL]:
            return PARTIAL, known[PARTIAL][method]
        if method in known[SUPPORTED] or method in self._classes["Object"][SUPPORTED]:
            return SUPPORTED, ""
        if owner == "GlideElement" and method in self._classes["String"][SUPPORTED]:
            return SUPPORTED, ""
        return (MISSING if method in known[MISSING] else UNKNOWN), ""

    def class_of(self, dotted: str) -> str | None:
        """Return the class that a name such as ``sn_ws.RESTMessageV2`` stands for.

        Empty for what is no class of the platform; None for one that nobody knows.
        """
        space, _, last = dotted.rpartition(".")
        if dotted == "gs":
            return "GlideSystem"
        if last in _LANGUAGE:
            return ""
        if last in self._classes and (not space or space == "global" or space in self._spaces):
            return last
        if space not in ("", "global") and space.startswith("sn_"):
            return None
        return None if not space and last.startswith(_PLATFORM) else ""

    def is_space(self, name: str) -> bool:
        """Return whether a name is one of a namespace such as ``sn_ws``."""
        return name in self._spaces

    def methods(self, owner: str) -> list[str]:
        """Return the methods of a class that are there."""
        known = self._classes.get(owner, {})
        return [*known.get(SUPPORTED, ()), *known.get(PARTIAL, {})]

    def near(self, name: str) -> str | None:
        """Return the class or global most like a name."""
        return nearest(
            name, [name for name in self._classes if self.methods(name) and name not in _LANGUAGE]
        )


@cache
def known_api() -> Api:
    """Return the API as this version has it."""
    text = resources.files("midspan.scripting").joinpath("api_names.json").read_text("utf-8")
    return Api(json.loads(text))


class Reader:
    """Reads scripts in workers that can do nothing else; a worker that one overwhelms is replaced.

    >>> with open_reader() as reader:
    ...     reader.read("gs.info(1")["error"]["column"]
    10
    """

    def __init__(self, pool: SandboxPool) -> None:
        self._pool = pool

    def read(self, text: str) -> dict[str, Any]:
        """Return what check.js makes of a text: ``error``, or ``calls``, ``defined`` and ``free``.

        Raises:
            SandboxUnavailable: no worker could be started.
        """
        with self._pool.session(lambda name, arguments: None) as session:
            try:
                found = session.run(Script("check", "__check(__text)"), {"__text": text})
            except ScriptError as error:
                return {"error": {"line": 1, "column": 1, "message": error.message}}
        return dict(json.loads(str(found)))


@contextmanager
def open_reader() -> Iterator[Reader]:
    """Yield a reader; its worker ends with the block."""
    own = resources.files("midspan.scripting").joinpath("check.js").read_text("utf-8")
    acorn = resources.files("midspan.sandbox").joinpath("vendored", "acorn.js").read_text("utf-8")
    prelude = Script("midspan.scripting.check", f"{acorn}\n{own}")
    with SandboxPool(size=1, prelude=(prelude,), limits=_LIMITS) as pool:
        yield Reader(pool)


class Check:
    """Checks many scripts; what one of them defines the others may use."""

    def __init__(self, reader: Reader, api: Api | None = None) -> None:
        self._reader = reader
        self._api = api or known_api()
        self._report = Report()
        self._uses: Counter[tuple[str, str]] = Counter()
        self._others: Counter[str] = Counter()

    def run(self, scripts: Iterable[tuple[str, str]]) -> Report:
        """Return the report on scripts, given as name and text."""
        texts = list(scripts)
        read = {name: self._reader.read(text) for name, text in texts}
        own = {name for found in read.values() for name in found.get("defined", ())}
        for name, text in texts:
            self._report.files += 1
            self._one(name, text.splitlines(), read[name], own)
        self._report.uses = [
            Use(owner, method, status, count, note)
            for (owner, method), count in sorted(self._uses.items())
            for status, note in [self._api.status(owner, method)]
        ]
        self._report.others = dict(self._others.most_common())
        return self._report

    def _one(self, name: str, lines: list[str], found: dict[str, Any], own: set[str]) -> None:
        def note(place: dict[str, Any], kind: str, message: str) -> None:
            line = place["line"]
            source = lines[line - 1].strip()[:200] if line <= len(lines) else ""
            self._report.findings.append(
                Finding(name, line, place["column"], kind, message, source)
            )

        if "error" in found:
            note(found["error"], SYNTAX, found["error"]["message"])
            return
        if CLIENT.intersection(found["free"]):
            self._report.client.append(name)
            return
        for call in found["calls"]:
            problem = self._call(call["owners"], call["name"], own)
            if problem is not None:
                note(call, *problem)

    def _call(self, owners: list[str], method: str, own: set[str]) -> tuple[str, str] | None:
        """Count a call; return kind and message when it is wrong."""
        first = owners[0]
        if not first or first.partition(".")[0] in own:
            return None if method in own or first else self._bare(method)
        if self._api.is_space(first) and self._api.class_of(f"{first}.{method}"):
            owners, method = [f"{first}.{method}"], "constructor"  # sn_ws_err.NotFoundError()
        classes = [self._api.class_of(owner) for owner in owners]
        known = [name for name in classes if name]
        if not known:
            return self._stranger(first, method, is_platform=None in classes)
        statuses = {name: self._api.status(name, method)[0] for name in known}
        best = min(known, key=lambda name: _ORDER.index(statuses[name]))
        self._uses[best, method] += 1
        return self._complaint(best, method, statuses[best])

    def _complaint(self, owner: str, method: str, status: str) -> tuple[str, str] | None:
        shown = "gs" if owner == "GlideSystem" else owner
        called = f"new {shown}()" if method == "constructor" else f"{shown}.{method}"
        if status == MISSING:
            return MISSING, f"{called} is not available here"
        if status == UNKNOWN:
            near = nearest(method, self._api.methods(owner))
            return UNKNOWN, f"there is no {called}" + (f"; did you mean {near}?" if near else "")
        return None

    def _bare(self, name: str) -> tuple[str, str] | None:
        if not self._api.holds(name):
            self._others[name] += 1
        return None

    def _stranger(self, owner: str, method: str, *, is_platform: bool) -> tuple[str, str] | None:
        if is_platform:
            self._uses[owner, method] += 1
            near = self._api.near(owner.rpartition(".")[2])
            hint = f"; did you mean {near}?" if near else ""
            return UNKNOWN, f"there is no {owner}{hint}"
        if not self._api.holds(owner.partition(".")[0]):
            self._others[owner] += 1
        return None


def by_class(uses: Iterable[Use]) -> dict[str, list[Use]]:
    """Return uses by class, the most used method first."""
    found: dict[str, list[Use]] = defaultdict(list)
    for use in sorted(uses, key=lambda use: (use.owner, -use.count, use.method)):
        found[use.owner].append(use)
    return found
