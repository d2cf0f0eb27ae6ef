"""Strict mode: what clients expect to be passed over in silence, told or refused.

In compatible mode each thing that a request names and that is left out becomes a warning, and the
answer carries them in ``X-Midspan-Warning``. The header ``X-Midspan-Strict: true``, or the property
``midspan.rest.strict`` for every request, makes an error of the first answer that would have one.
Nothing here is worked out for a request without warnings. Source: architecture 7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from midspan.api.request import Pairs, Request
from midspan.dictionary import Dictionary
from midspan.kernel.errors import InvalidRequest, did_you_mean, nearest
from midspan.query import ALWAYS, NEVER
from midspan.records.layouts import views_of
from midspan.security import Access

PREFIX = "sysparm_"
KNOWN = frozenset(
    {
        "sysparm_query",
        "sysparm_fields",
        "sysparm_display_value",
        "sysparm_exclude_reference_link",
        "sysparm_view",
        "sysparm_limit",
        "sysparm_offset",
        "sysparm_no_count",
        "sysparm_suppress_pagination_header",
        "sysparm_query_category",
        "sysparm_query_no_domain",
        "sysparm_input_display_value",
        "sysparm_suppress_auto_sys_field",
        "sysparm_tiny",
    }
)
"""Parameters of the Table API, which others take, too."""
HEADER = "X-Midspan-Strict"
MOST_WARNINGS = 10
_LONGEST_WARNINGS = 2_000
_MOST_HINTS = 5
"""Names of one request for which a near one is looked for; a search takes a millisecond."""
_NO_FIELD = re.compile(r".* left out: table (\w+) has no field ([\w.]+)")
_NO_TABLE = re.compile(r".* left out: there is no table (\w+)")
_NO_VIEW = re.compile(r"View left out: table (\S+) has no view (.+)")
_NO_PARAMETER = re.compile(r"Unknown parameter (\w+)")
_NUMBER = re.compile(r"[0-9]+")
_BOOLEAN = ("true", "false")


def _is_flag(text: str) -> bool:
    return text in _BOOLEAN


_VALUES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    f"{PREFIX}limit": (lambda text: _NUMBER.fullmatch(text) is not None, "a number"),
    f"{PREFIX}offset": (lambda text: _NUMBER.fullmatch(text) is not None, "a number"),
    f"{PREFIX}display_value": (
        lambda text: text in (*_BOOLEAN, "all"),
        "one of true, false and all",
    ),
    **{
        f"{PREFIX}{name}": (_is_flag, "true or false")
        for name in (
            "exclude_reference_link",
            "no_count",
            "suppress_pagination_header",
            "query_no_domain",
            "input_display_value",
            "suppress_auto_sys_field",
            "count",
        )
    },
}
"""What the values of parameters have to be; another one counts as not given."""


def unknown_parameters(request: Request, known: frozenset[str] = KNOWN) -> tuple[str, ...]:
    """Return a warning for each ``sysparm_`` that does not exist, or whose value cannot be used."""
    return unknown_in(request.query, known)


def unknown_in(pairs: Pairs, known: frozenset[str] = KNOWN) -> tuple[str, ...]:
    """Do as ``unknown_parameters`` for the parameters of a query string."""
    return tuple(_unused(pairs, known)) if pairs else ()


def _unused(pairs: Iterable[tuple[str, str]], known: frozenset[str]) -> Iterator[str]:
    for name, value in pairs:
        if not name.startswith(PREFIX):
            continue
        if name not in known:
            yield f"Unknown parameter {name[:80]}"
        elif name in _VALUES and (text := value.strip().lower()):
            fits, wanted = _VALUES[name]
            if not fits(text):
                yield f"Parameter {name} left out: {value[:40]!r} is not {wanted}"


def is_strict(request: Request) -> bool:
    """Tell whether the caller, or the instance, asks for errors instead of warnings."""
    return request.header_flag(HEADER) or request.property_flag("midspan.rest.strict")


def refuse_in_strict_mode(
    request: Request, warnings: Iterable[str], known: Iterable[str] = KNOWN
) -> None:
    """Turn warnings into an error for callers that asked for it; ``known`` are the parameters.

    The error says for each unknown name which one is near, among those that the caller may read.

    Raises:
        InvalidRequest: there are warnings, and the header or the property asks for strictness.
    """
    found = list(dict.fromkeys(warnings))
    if not found or not is_strict(request):
        return
    hints = _Hints(request, known)
    parts = [*(hints.told(text) for text in found[:_MOST_HINTS]), *found[_MOST_HINTS:]]
    detail = "; ".join(parts[:MOST_WARNINGS])
    raise InvalidRequest("Refused in strict mode", detail=detail[:_LONGEST_WARNINGS])


def warning_header(warnings: Iterable[str]) -> dict[str, str]:
    """Return the header that tells what was left out of a request; empty when nothing was."""
    found = list(dict.fromkeys(warnings))
    if not found:
        return {}
    text = "; ".join(found[:MOST_WARNINGS])
    return {"X-Midspan-Warning": text[:_LONGEST_WARNINGS]}


class _Hints:
    """Finds what an unknown name may have meant."""

    def __init__(self, request: Request, known: Iterable[str]) -> None:
        self._request = request
        self._known = known

    def told(self, warning: str) -> str:
        """Return a warning, with a hint where one is known."""
        hint = self._hint(warning)
        return f"{warning}. {hint}" if hint else warning

    def _hint(self, warning: str) -> str | None:
        if match := _NO_FIELD.fullmatch(warning):
            return self._field(match[1], match[2])
        if match := _NO_TABLE.fullmatch(warning):
            return did_you_mean(match[1], self._tables())
        if match := _NO_VIEW.fullmatch(warning):
            return self._view(match[1], match[2])
        if match := _NO_PARAMETER.fullmatch(warning):
            return self._parameter(match[1].lower())
        return None

    def _view(self, table: str, name: str) -> str | None:
        if self._access().rows("sys_ui_view", "read") != ALWAYS:
            return None
        return did_you_mean(name, views_of(self._request.snapshot, table))

    def _parameter(self, name: str) -> str | None:
        """Compare without what all names begin with."""
        near = nearest(name.removeprefix(PREFIX), (n.removeprefix(PREFIX) for n in self._known))
        return f"Did you mean {PREFIX + near!r}?" if near else None

    def _access(self) -> Access:
        request = self._request
        now = request.parts.clock.now()
        return request.parts.records.access(request.actor, request.snapshot, now)

    def _tables(self) -> Iterator[str]:
        access = self._access()
        for table in self._request.snapshot.dictionary:
            if table.ws_access and access.rows(table.name, "read") != NEVER:
                yield table.name

    def _field(self, table: str, name: str) -> str | None:
        access, dictionary = self._access(), self._request.snapshot.dictionary
        *walk, last = name.split(".")
        done: list[str] = []
        for step in walk:
            fields = _readable(dictionary, access, table)
            if step not in fields:
                near = nearest(step, fields)
                rest = [*walk[len(done) + 1 :], last]
                return f"Did you mean {'.'.join([*done, near, *rest])!r}?" if near else None
            done.append(step)
            table = dictionary.table(table).fields[step].reference or ""
            if table not in dictionary:
                return f"{'.'.join(done)} is no reference"
        near = nearest(last, _readable(dictionary, access, table))
        return f"Did you mean {'.'.join([*done, near])!r}?" if near else None


def _readable(dictionary: Dictionary, access: Access, table: str) -> list[str]:
    if table not in dictionary:
        return []
    return [name for name in dictionary.table(table).fields if access.reaches(table, name, "read")]
