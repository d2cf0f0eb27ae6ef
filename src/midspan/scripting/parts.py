"""The texts of the classes that are only loaded when a script names one of them."""

from __future__ import annotations

from functools import cache
from importlib import resources

from midspan.kernel.errors import InvalidRequest


@cache
def part_text(family: str) -> str:
    """Return the JavaScript of a family: a function that gets what the prelude shares with it.

    Raises:
        InvalidRequest: there is no such family.
    """
    folder = resources.files("midspan.scripting") / "js" / "classes"
    known = {file.name.removesuffix(".js"): file for file in folder.iterdir()}
    if family not in known:
        raise InvalidRequest(f"There is no family of classes {family!r}")
    return known[family].read_text(encoding="utf-8")
