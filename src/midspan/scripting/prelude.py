"""The JavaScript that makes up the objects scripts see."""

from __future__ import annotations

from functools import cache
from importlib import resources

from midspan.sandbox import Script

PRELUDE = "midspan.scripting.prelude"


@cache
def prelude() -> Script:
    """Return the prelude: the files of ``js`` in the order of their names, in one scope."""
    folder = resources.files("midspan.scripting") / "js"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".js")), key=lambda file: file.name
    )
    return Script(PRELUDE, "".join(file.read_text(encoding="utf-8") for file in files))
