"""Makes ``src/midspan/scripting/api_names.json``: what of the script API is there, by class.

The methods are those of the live prelude, and those that cases hold; what the names of
``names.yaml`` have besides is missing. Renew it with
``.venv/bin/python -m tests.scripting.api_names``; a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midspan.sandbox import JsonValue, SandboxPool, Script
from midspan.scripting import open_pool

from .coverage import held, wanted

FILE = Path(__file__).parents[2] / "src" / "midspan" / "scripting" / "api_names.json"
SPACES = (
    *("sn_ws", "sn_ws_err", "sn_cc", "sn_cmdb", "sn_fd"),
    *("sn_auth", "sn_impex", "sn_notification"),
)
NO_CLASSES = ("event", "g_scratchpad", "Packages", "sn_impex")
"""Objects that cases are about and that are no classes."""
LANGUAGE = "Object.getOwnPropertyNames(globalThis)"
PROBE = """
(function () {
  function methods(value) {
    const found = new Set(), missing = new Set();
    for (let at = value; at && at !== Object.prototype && at !== Function.prototype;
         at = Object.getPrototypeOf(at)) {
      for (const name of Object.getOwnPropertyNames(at)) {
        const got = Object.getOwnPropertyDescriptor(at, name).value;
        if (typeof got !== 'function') continue;
        (got.name === 'absent' ? missing : found).add(name);
      }
    }
    return [found, missing];
  }
  function both(value) {
    const [own, lacks] = methods(value);
    const none = [new Set(), new Set()];
    const [more, others] = typeof value === 'function' ? methods(value.prototype) : none;
    return [[...own, ...more], [...lacks, ...others]];
  }
  const classes = {}, globals = [], spaces = [];
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (name.startsWith('__')) continue;
    globals.push(name);
    let value;
    try { value = globalThis[name]; } catch (error) { continue; }
    if (name === 'gs') classes.GlideSystem = both(value);
    else if (name.startsWith('sn_') && value) {
      spaces.push(name);
      for (const inner of Object.getOwnPropertyNames(value)) classes[inner] = both(value[inner]);
    } else if (typeof value === 'function' && value.prototype) classes[name] = both(value);
  }
  classes.Object = [Object.getOwnPropertyNames(Object.prototype), []];
  return JSON.stringify({ classes, globals, spaces });
})()
"""


def _host(name: str, arguments: list[JsonValue]) -> JsonValue:
    return []


def live() -> dict[str, Any]:
    """Return what the prelude has: classes with their methods and what they refuse, globals."""
    with open_pool(1) as pool, pool.session(_host) as session:
        return dict(json.loads(str(session.run(Script("probe", PROBE)))))


def language() -> frozenset[str]:
    """Return the names that the language itself brings."""
    with SandboxPool(size=1) as pool, pool.session(_host) as session:
        return frozenset(map(str, session.run(Script("plain", LANGUAGE))))  # type: ignore[arg-type]


def names() -> dict[str, Any]:
    """Return the whole file."""
    there, cases, (declared, _) = live(), held(), wanted()
    classes: dict[str, Mapping[str, Any]] = {}
    plain = language() - {"Object", "String"}  # which fields and all objects have, too
    for name in sorted({*there["classes"], *declared, *cases.methods, *cases.refused} - plain):
        present, absent = there["classes"].get(name, ([], []))
        refused = {*absent, *cases.refused[name]} - cases.of(name)
        partial = {
            method: lack for (owner, method), lack in sorted(cases.partial.items()) if owner == name
        }
        if not name.isidentifier() or name in NO_CLASSES:
            continue
        if not (present or declared.get(name) or cases.of(name) or refused):
            continue
        supported = {*present, *cases.of(name)} - refused - set(partial)
        if present and "constructor" not in refused:
            supported.add("constructor")
        missing = ({*declared.get(name, ()), *refused}) - supported - set(partial)
        classes[name] = {
            "supported": sorted(supported), "partial": partial, "missing": sorted(missing),
        }  # fmt: skip
    return {
        "classes": classes,
        "globals": sorted(there["globals"]),
        "namespaces": sorted({*there["spaces"], *SPACES}),
    }


def text() -> str:
    """Return the file as it is stored."""
    found = names()
    lines = [
        '{"globals": ' + json.dumps(found["globals"]) + ",",
        '"namespaces": ' + json.dumps(found["namespaces"]) + ",",
        '"classes": {',
        ",\n".join(
            f"{json.dumps(name)}: {json.dumps(known)}" for name, known in found["classes"].items()
        ),
        "}}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
