"""Functions of fields, as ``glidefunction:length(short_description)``: read, typed, computed. Pure.

A function stands wherever a field stands: in a condition, a sort key, a group, a column. It is
computed from the values of its row and is never stored. Source: the vendor's page on function
fields and that of ``GlideDBFunctionBuilder``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from msgspec import Struct

from midspan.dictionary import Dictionary, Field, FieldPath, Storage
from midspan.dictionary.values import canonical
from midspan.kernel.errors import InvalidQuery, InvalidValue, did_you_mean
from midspan.query.comparison import NUMERIC, is_exact

PREFIX = "glidefunction:"
LONGEST_FUNCTION = 1_000
"""Characters of a function as written."""
LONGEST_FIELD = 1_000_000
"""Characters that a field may hold whose values are put together; a payload may hold more."""
MOST_PARTS = 40
"""Fields, constants and functions in one."""
DEEPEST = 5
"""Functions inside each other."""
DURATION, MOMENT, DAY = "glide_duration", "glide_date_time", "glide_date"
_DURATIONS = frozenset({"glide_duration", "timer"})
SIGNS = ("=", "<", ">", "<=", ">=")
"""What ``compare`` may ask."""
_TEXTUAL = frozenset({"string", "GUID"})
_TOKEN = re.compile(r"""\s*('(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z0-9_.+-]+|[(),])\s*""")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_WHOLE = re.compile(r"[0-9]{1,9}")


class Constant(Struct, frozen=True):
    """A constant argument: a canonical wire text, and the type it is of."""

    text: str
    type: str = "string"


Part: TypeAlias = "FieldPath | Constant"


class Computed(FieldPath, frozen=True, kw_only=True):
    """A function as a path: its one step is a field of the type of its result.

    ``name`` is the function as it was written. Whoever asks what it looks at needs ``leaves``.
    """

    function: str
    arguments: tuple[Part, ...]


def is_function(name: str) -> bool:
    """Tell whether a name stands for a function of fields and not for a field."""
    return name.startswith(PREFIX)


def leaves(path: FieldPath) -> Iterator[FieldPath]:
    """Yield the fields that a path looks at: itself, or those inside a function."""
    if not isinstance(path, Computed):
        yield path
        return
    for part in path.arguments:
        if not isinstance(part, Constant):
            yield from leaves(part)


def end_of(text: str) -> int | None:
    """Return where a function ends that a text begins with; None when it does not end.

    >>> end_of("glidefunction:length(concat(a,')'))<10")
    35
    """
    depth, at = 0, len(PREFIX)
    while match := _TOKEN.match(text, at, LONGEST_FUNCTION):
        at = match.end()
        depth += {"(": 1, ")": -1}.get(match[1], 0)
        if match[1] == ")" and depth <= 0:
            return match.end(1)
    return None


class _Call(Struct, frozen=True):
    """A function as written: its arguments are calls, constants and names of fields."""

    function: str
    arguments: tuple[_Call | Constant | str, ...]


class _Reader:
    """Reads one function; used once."""

    def __init__(self, text: str) -> None:
        if not is_function(text) or end_of(text) != len(text.rstrip()):
            raise InvalidQuery(
                f"Cannot read the function {text[:80]!r}",
                hint=f"Expected {PREFIX}name(argument,...) of at most {LONGEST_FUNCTION} characters"
                "; constants stand in quotes.",
            )
        found = _TOKEN.findall(text, len(PREFIX))
        self._words: list[str] = found
        self._at = 0
        self._parts = 0
        self._text = text

    def whole(self) -> _Call:
        found = self._part(0)
        if not isinstance(found, _Call) or self._at < len(self._words):
            raise self._wrong()
        return found

    def _part(self, depth: int) -> _Call | Constant | str:
        self._parts += 1
        if depth > DEEPEST or self._parts > MOST_PARTS:
            raise InvalidQuery(
                f"The function {self._text[:80]!r} is too large",
                hint=f"At most {MOST_PARTS} parts, {DEEPEST} functions inside each other.",
            )
        word = self._next()
        if word[0] in "'\"":
            return Constant(word[1:-1].replace(word[0] * 2, word[0]))
        if word in "(),":
            raise self._wrong()
        if self._at < len(self._words) and self._words[self._at] == "(":
            return _Call(word.lower(), tuple(self._arguments(depth)))
        return Constant(word) if _NUMBER.fullmatch(word) else word

    def _arguments(self, depth: int) -> Iterator[_Call | Constant | str]:
        self._at += 1
        if self._words[self._at] == ")":
            self._at += 1
            return
        while True:
            yield self._part(depth + 1)
            mark = self._next()
            if mark == ")":
                return
            if mark != ",":
                raise self._wrong()

    def _next(self) -> str:
        if self._at >= len(self._words):
            raise self._wrong()
        self._at += 1
        return self._words[self._at - 1]

    def _wrong(self) -> InvalidQuery:
        return InvalidQuery(
            f"Cannot read the function {self._text[:80]!r}",
            hint=f"Expected {PREFIX}name(argument,...); arguments are fields, functions and "
            "constants in quotes.",
        )


def function_path(
    dictionary: Dictionary, table: str, text: str, now: str | None = None
) -> Computed:
    """Return the path of a function of fields of ``table``; ``now`` is the text of the present.

    Raises:
        InvalidQuery: it cannot be read, there is no such function, it takes other arguments, or it
            asks for the present where that is not known.
        InvalidField: it names a field that does not exist.
    """
    return _Typing(dictionary, table, now).path(_Reader(text).whole(), text)


def asks_the_present(name: str) -> bool:
    """Tell whether a function may yield something else at another time."""
    return is_function(name) and "now" in name.lower()


class _Typing:
    """Finds the fields of one function and the type of each part."""

    def __init__(self, dictionary: Dictionary, table: str, now: str | None) -> None:
        self._dictionary = dictionary
        self._table = table
        self._now = now

    def path(self, call: _Call, text: str = "") -> Computed:
        known = _SIGNATURES.get(call.function)
        if known is None:
            raise InvalidQuery(
                f"There is no function {call.function[:40]}",
                hint=did_you_mean(call.function, _SIGNATURES)
                or f"There are {', '.join(sorted(_SIGNATURES))}; and now() as an argument.",
            )
        least, most, usage, typed = known
        count = len(call.arguments)
        if count < least or (most is not None and count > most):
            raise InvalidQuery(f"{call.function} got {count} arguments", hint=f"Expected {usage}.")
        parts = [self._part(argument) for argument in call.arguments]
        found = typed(parts)
        if found is None:
            given = ", ".join(_shown(part) for part in parts)
            raise InvalidQuery(f"{call.function} got {given}", hint=f"Expected {usage}.")
        kind, arguments = found
        result = Field(name=text or call.function, label=call.function, type=kind)
        return Computed(
            text, (result,), (self._table,), function=call.function, arguments=tuple(arguments)
        )

    def _part(self, argument: _Call | Constant | str) -> Part:
        if isinstance(argument, Constant):
            return argument
        if isinstance(argument, _Call):
            return self._present() if argument == _NOW else self.path(argument)
        path = self._dictionary.path(self._table, argument)
        field = path.field
        if field.storage is Storage.NONE or field.kind.secret or field.max_length > LONGEST_FIELD:
            raise InvalidQuery(f"{argument} ({field.type}) cannot stand in a function")
        return path

    def _present(self) -> Constant:
        if self._now is None:
            raise InvalidQuery("The present is not known here", hint="Leave out now().")
        return Constant(self._now, MOMENT)


_NOW = _Call("now", ())


def _shown(part: Part) -> str:
    if isinstance(part, Constant):
        return f"the constant {part.text[:40]!r}"
    if isinstance(part, Computed):
        return f"{part.function}() ({part.field.type})"
    return f"{part.name} ({part.field.type})"


def type_of(part: Part) -> str:
    """Return the type that a part is computed as: one for each way in which values compare."""
    if isinstance(part, Constant):
        return part.type
    field = part.field
    if field.storage in NUMERIC:
        return "decimal"
    if field.storage is Storage.DATETIME:
        return DURATION if field.type in _DURATIONS else MOMENT
    if field.storage is Storage.DATE:
        return DAY
    if field.storage is Storage.BOOLEAN:
        return "boolean"
    return "GUID" if is_exact(field) else "string"


_Typed: TypeAlias = "tuple[str, list[Part]] | None"
"""The type of a result and the arguments, their constants typed; None: they do not fit."""


def as_type(part: Part, *kinds: str) -> Part | None:
    """Return a part as one of some types; None when it is none of them."""
    if not isinstance(part, Constant):
        return part if type_of(part) in kinds else None
    for kind in kinds:
        try:
            return Constant(canonical(Field(name="constant", label="", type=kind), part.text), kind)
        except InvalidValue:
            continue
    return None


def _all(parts: list[Part], *kinds: str) -> list[Part] | None:
    fitting = [as_type(part, *kinds) for part in parts]
    found = [part for part in fitting if part is not None]
    empty = any(isinstance(part, Constant) and part.text == "" for part in found)
    return (
        found
        if len(found) == len(parts) and (not empty or not _TEXTUAL.isdisjoint(kinds))
        else None
    )


def _numbers(parts: list[Part]) -> _Typed:
    found = _all(parts, "decimal")
    return None if found is None else ("decimal", found)


def _texts(parts: list[Part]) -> _Typed:
    return "string", parts


def _length(parts: list[Part]) -> _Typed:
    return "integer", parts


def _alike(parts: list[Part]) -> _Typed:
    """Values of one type; constants are of the type of the others, or numbers where all are."""
    kinds = {type_of(part) for part in parts if not isinstance(part, Constant)}
    if "string" in kinds:
        kinds -= {"GUID"}
    for kind in kinds or ("decimal", "string"):
        also = ("GUID",) if kind == "string" else ()
        if len(kinds) < 2 and (found := _all(parts, kind, *also)) is not None:
            return kind, found
    return None


def _ordered(parts: list[Part]) -> _Typed:
    found = _alike(parts)
    return None if found is None or found[0] == "boolean" else found


def _first(parts: list[Part]) -> _Typed:
    """Values of several types come as texts, as does a constant that is none of the others."""
    return _alike(parts) or ("string", parts)


def _distance(parts: list[Part]) -> _Typed:
    found = _all(parts, MOMENT, DAY)
    return None if found is None else (DURATION, found)


def _weekday(parts: list[Part]) -> _Typed:
    found = _all(parts[:1], MOMENT, DAY)
    if found is None or not all(isinstance(part, Constant) for part in parts[1:]):
        return None
    return "integer", [*found, *parts[1:]]


def _comparison(parts: list[Part]) -> _Typed:
    """Two values of one type; the sign and the type go before them."""
    sign = parts[1]
    found = _alike([parts[0], parts[2]])
    if found is None or not isinstance(sign, Constant) or sign.text not in SIGNS:
        return None
    kind, values = found
    return "boolean", [sign, Constant(kind), *values]


def _truths(parts: list[Part]) -> _Typed:
    found = _all(parts, "boolean")
    return None if found is None else ("boolean", found)


def _text_and_wholes(places: int, kind: str) -> Callable[[list[Part]], _Typed]:
    """Return what types some texts and then whole numbers, which are constants."""

    def typed(parts: list[Part]) -> _Typed:
        for part in parts[places:]:
            if not isinstance(part, Constant) or not _WHOLE.fullmatch(part.text):
                return None
        return kind, parts

    return typed


_Signature: TypeAlias = "tuple[int, int | None, str, Callable[[list[Part]], _Typed]]"
_SIGNATURES: dict[str, _Signature] = {
    "add": (2, None, "add(number,number,...)", _numbers),
    "subtract": (2, 2, "subtract(number,number)", _numbers),
    "multiply": (2, None, "multiply(number,number,...)", _numbers),
    "divide": (2, 2, "divide(number,number)", _numbers),
    "concat": (1, None, "concat(field,'constant',...)", _texts),
    "coalesce": (1, None, "coalesce(field,field,...)", _first),
    "greatest": (2, None, "greatest(value,value,...), all numbers, dates or texts", _ordered),
    "least": (2, None, "least(value,value,...), all numbers, dates or texts", _ordered),
    "datediff": (2, 2, "datediff(later date,earlier date)", _distance),
    "dayofweek": (1, 2, "dayofweek(date,'1' or '2')", _weekday),
    "compare": (3, 3, f"compare(value,'sign',value) with one of {' '.join(SIGNS)}", _comparison),
    "and": (1, None, "and(compare(..),compare(..),...)", _truths),
    "or": (1, None, "or(compare(..),compare(..),...)", _truths),
    "length": (1, 1, "length(field)", _length),
    "position": (
        *(2, 3, "position('text',field,'whole number to start at')"),
        _text_and_wholes(2, "integer"),
    ),
    "substring": (
        *(2, 3, "substring(field,'whole number to start at','whole number of characters')"),
        _text_and_wholes(1, "string"),
    ),
}
FUNCTIONS = tuple(_SIGNATURES)
"""The names of all functions."""
