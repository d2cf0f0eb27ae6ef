"""Adds to a script's error what the engine cannot know: the name that was meant, the line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from functools import cache

from midspan.sandbox import ScriptError
from midspan.scripting.prelude import prelude

_UNDEFINED = re.compile(r"ReferenceError: ([\w$]+) is not defined")
_PUBLISHED = re.compile(r"publish\('([\w$]+)'")
_MISSING = re.compile(r"(?:\w*Error: )?not available: [\w$.]+")
_PLATFORM = re.compile(r"(sn_[a-z]|Glide[A-Z])\w*")
_LIKENESS = 0.75
_ELSEWHERE = frozenset({"Workflow", "action", "template", "email", "$sp"})
"""Names of the platform that are not here: workflow, UI actions, mail scripts, widgets."""


def explained(error: ScriptError, others: Iterable[str] = ()) -> ScriptError:
    """Return ``error``, or one of its kind whose message says more.

    An unknown name gets the nearest name of the platform or of ``others``; what this instance does
    not have gets the line that used it.
    """
    text = error.message
    unknown = _UNDEFINED.fullmatch(text)
    if unknown:
        name = unknown[1]
        near = get_close_matches(name, {*platform_names(), *others}, 1, _LIKENESS)
        is_elsewhere = name in _ELSEWHERE or name.startswith("sn_")
        if is_elsewhere or (not near and _PLATFORM.fullmatch(name)):
            text = f"{text}; not available: {name}{_used(error)}"
        if near and name not in _ELSEWHERE:
            text = f"{text}; did you mean {near[0]}?"
    elif _MISSING.fullmatch(text):
        text += _used(error)
    if text == error.message:
        return error
    other = type(error)(replace(error.failure, text=text), hint=error.hint)
    other.__cause__ = error.__cause__
    return other


def _used(error: ScriptError) -> str:
    return f" (used at line {error.line})" if error.line else ""


@cache
def platform_names() -> frozenset[str]:
    """Return the names that the prelude gives to scripts."""
    return frozenset(_PUBLISHED.findall(prelude().text))
