"""The JavaScript that makes up the objects scripts see."""

from __future__ import annotations

from functools import cache
from importlib import resources

from midspan.sandbox import Script

PRELUDE = "midspan.scripting.prelude"


@cache
def prelude() -> Script:
    """Return the prelude: the files of ``js`` in the order of their names, in one scope."""
    return Script(PRELUDE, "".join(text for _, text in _texts("js")))


@cache
def families() -> tuple[Script, ...]:
    """Return what a context loads when a script names a class of it, by the names of 50_classes.js.

    Each is a function that gets what the prelude shares with it.
    """
    return tuple(Script(name.removesuffix(".js"), text) for name, text in _texts("js/classes"))


def _texts(folder: str) -> list[tuple[str, str]]:
    files = (resources.files("midspan.scripting") / folder).iterdir()
    return sorted(
        (file.name, file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".js")
    )
