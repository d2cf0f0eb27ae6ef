"""Java-style date patterns (``dd/MM/yyyy hh:mm:ss a``), compiled once, to parse and to format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from midspan.kernel.errors import InvalidDefinition, InvalidValue

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?")
_SPACES = re.compile(r"(?:\\ )+")
_ANY_SPACES = "[ \t\u00a0\u202f]+"
_RUN = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|[^A-Za-z']+|'")


@dataclass(frozen=True, slots=True)
class DatePattern:
    """A compiled pattern; make it with ``compile_pattern``."""

    pattern: str
    _matcher: re.Pattern[str]
    _fields: tuple[_Field, ...]
    _writers: tuple[Callable[[datetime], str], ...]

    def parse(self, text: str) -> datetime:
        """Return the date and time in ``text``; aware only if the pattern has an offset.

        What the pattern does not mention is 1970-01-01 00:00:00. Names of months and days and am/pm
        are English, in any case; a day name must fit the date. A field may lack leading zeros
        unless digits follow it directly; spaces around the text are ignored.

        >>> compile_pattern("dd/MM/yyyy hh:mm:ss a").parse("9/4/2026 12:05:00 AM")
        datetime.datetime(2026, 4, 9, 0, 5)
        >>> compile_pattern("yyyyMMdd").parse("20260409")
        datetime.datetime(2026, 4, 9, 0, 0)
        >>> compile_pattern("hh:mm").parse("13:30")
        Traceback (most recent call last):
        ...
        midspan.kernel.errors.InvalidValue: '13:30' is not a date of the form hh:mm

        Raises:
            InvalidValue: the text does not have this form, or there is no such day or time.
        """
        match = self._matcher.fullmatch(text.strip())
        if match is None:
            raise self._unfit(text)
        pairs = zip(self._fields, match.groups(), strict=True)
        try:
            found = {field.name: field.read(group) for field, group in pairs}
            moment = _assemble(found)
        except (ValueError, OverflowError) as error:
            raise self._unfit(text, str(error)) from error
        if found.get("weekday", moment.weekday()) != moment.weekday():
            raise self._unfit(text, f"that day is a {DAYS[moment.weekday()]}")
        return moment

    def format(self, moment: datetime) -> str:
        """Return ``moment``'s own wall time in this form; the caller chooses its zone.

        >>> moment = datetime(2026, 4, 9, 15, 5, tzinfo=timezone.utc)
        >>> compile_pattern("EEE, d MMMM yyyy 'at' h:mm a").format(moment)
        'Thu, 9 April 2026 at 3:05 PM'
        >>> compile_pattern("yyyy-MM-dd'T'HH:mm:ss.SSSXXX").format(moment)
        '2026-04-09T15:05:00.000Z'
        """
        return "".join(write(moment) for write in self._writers)

    def _unfit(self, text: str, why: str | None = None) -> InvalidValue:
        hint = None
        if "h" in self.pattern and "a" not in self.pattern:
            hint = "In patterns hh is the hour from 1 to 12; HH is the hour from 0 to 23."
        return InvalidValue(
            f"{text[:60]!r} is not a date of the form {self.pattern}", detail=why, hint=hint
        )


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> DatePattern:
    """Compile a pattern of Java's ``SimpleDateFormat`` letters.

    ``y`` year, ``M`` month (``MMM`` Jan, ``MMMM`` January), ``d`` day, ``E`` day name, ``a`` am/pm,
    ``H`` 0-23, ``k`` 1-24, ``h`` 1-12, ``K`` 0-11, ``m`` minute, ``s`` second, ``S`` fraction,
    ``Z`` +0100, ``X``/``XX``/``XXX`` Z or +01/+0100/+01:00. ``yy`` is 1969 to 2068. Text stands in
    single quotes, a quote is doubled. Without ``a`` twelve-hour times are before noon.

    >>> compile_pattern("yyyy-MM-dd QQ")
    Traceback (most recent call last):
    ...
    midspan.kernel.errors.InvalidDefinition: Date pattern 'yyyy-MM-dd QQ': unknown letter 'Q'

    Raises:
        InvalidDefinition: an unknown letter, an open quote, a field given twice, nothing at all.
    """
    tokens = list(_tokens(pattern))
    fields = tuple(token for token in tokens if isinstance(token, _Field))
    _check(pattern, [field.name for field in fields])
    expression: list[str] = []
    neighbours = zip([None, *tokens], tokens, [*tokens[1:], None], strict=False)
    for before, token, behind in neighbours:
        if isinstance(token, str):
            expression.append(_SPACES.sub(lambda _: _ANY_SPACES, re.escape(token)))
        else:
            tight = _is_numeric(before) or _is_numeric(behind)
            expression.append(f"({token.tight if tight else token.loose})")
    matcher = re.compile("".join(expression), re.IGNORECASE | re.ASCII)
    writers = tuple(_constant(token) if isinstance(token, str) else token.write for token in tokens)
    return DatePattern(pattern, matcher, fields, writers)


def _check(pattern: str, names: list[str]) -> None:
    """Refuse patterns that could only give wrong dates."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise _wrong(pattern, f"the {twice} is given twice")
    if not names:
        raise _wrong(pattern, "it has no field, such as yyyy")
    if "minute" in names and "year" in names and not {"hour", "hour12"} & set(names):
        raise _wrong(pattern, "mm is minutes, MM is the month")


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a pattern: two ways to match it, one to read and one to write it."""

    name: str
    tight: str
    """What matches beside other digits: exactly as many digits as there are letters."""
    loose: str
    read: Callable[[str], int]
    write: Callable[[datetime], str]


def _tokens(pattern: str) -> Iterator[_Field | str]:
    for match in _RUN.finditer(pattern):
        run, letter = match.group(), match.group(1)
        if letter is not None:
            yield _maker(pattern, letter)(len(run))
        elif run == "''":
            yield "'"
        elif run == "'":
            raise _wrong(pattern, "a quote is not closed")
        else:
            yield run[1:-1].replace("''", "'") if run.startswith("'") else run


def _maker(pattern: str, letter: str) -> Callable[[int], _Field]:
    if letter not in _MAKERS:
        other = letter.swapcase()
        guess = f"; did you mean {other!r}?" if other in _MAKERS else ""
        raise _wrong(pattern, f"unknown letter {letter!r}{guess}")
    return _MAKERS[letter]


def _wrong(pattern: str, problem: str) -> InvalidDefinition:
    return InvalidDefinition(
        f"Date pattern {pattern!r}: {problem}",
        hint="Examples: yyyy-MM-dd HH:mm:ss, dd/MM/yyyy hh:mm:ss a, d MMM yyyy.",
    )


def _is_numeric(token: _Field | str | None) -> bool:
    return isinstance(token, _Field) and token.tight.startswith("[0-9]")


def _assemble(found: Mapping[str, int]) -> datetime:
    """Make the moment; the names of ``found`` are those of the field makers."""
    hour = found.get("hour", 0)
    if "hour12" in found:
        hour = found["hour12"] % 12 + 12 * found.get("half", 0)
    moment = datetime(
        found.get("year", 1970),
        found.get("month", 1),
        found.get("day", 1),
        hour,
        found.get("minute", 0),
        found.get("second", 0),
        found.get("fraction", 0),
    )
    if "offset" in found:
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=found["offset"])))
    return moment


def _constant(text: str) -> Callable[[datetime], str]:
    return lambda _: text


def _number(
    name: str, width: int, limit: tuple[int, int], get: Callable[[datetime], int], wrap: int = 0
) -> _Field:
    """Make a numeric field; ``wrap`` is the value that is written and read instead of 0."""
    low, high = limit

    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"{name.removesuffix('12')} must be {low} to {high}, not {value}")
        return 0 if wrap and value == wrap else value

    def write(moment: datetime) -> str:
        return str(get(moment) or wrap).zfill(width)

    loose = f"[0-9]{{1,{max(width, len(str(high)))}}}"
    return _Field(name, f"[0-9]{{{width}}}", loose, read, write)


def _year(count: int) -> _Field:
    if count == 2:
        return _Field(
            "year",
            "[0-9]{2}",
            "[0-9]{2}",
            lambda text: int(text) + (1900 if int(text) >= 69 else 2000),
            lambda moment: f"{moment.year % 100:02d}",
        )
    return _Field("year", "[0-9]{4}", "[0-9]{4}", int, lambda moment: f"{moment.year:04d}")


def _month(count: int) -> _Field:
    if count <= 2:
        return _number("month", count, (1, 12), lambda moment: moment.month)
    names = MONTHS if count > 3 else tuple(name[:3] for name in MONTHS)
    either = "|".join((*MONTHS, *(name[:3] for name in MONTHS)))
    keys = [name[:3].lower() for name in MONTHS]
    return _Field(
        "month",
        either,
        either,
        lambda text: keys.index(text[:3].lower()) + 1,
        lambda moment: names[moment.month - 1],
    )


def _weekday(count: int) -> _Field:
    names = DAYS if count > 3 else tuple(name[:3] for name in DAYS)
    either = "|".join((*DAYS, *(name[:3] for name in DAYS)))
    keys = [name[:3].lower() for name in DAYS]
    return _Field(
        "weekday",
        either,
        either,
        lambda text: keys.index(text[:3].lower()),
        lambda moment: names[moment.weekday()],
    )


def _half(_: int) -> _Field:
    return _Field(
        "half",
        "[ap]\\.?m\\.?",
        "[ap]\\.?m\\.?",
        lambda text: int(text[0].lower() == "p"),
        lambda moment: "AM" if moment.hour < 12 else "PM",
    )


def _fraction(count: int) -> _Field:
    exact = f"[0-9]{{{count}}}"
    return _Field(
        "fraction",
        exact,
        "[0-9]{1,9}",
        lambda text: int(text[:6].ljust(6, "0")),
        lambda moment: f"{moment.microsecond:06d}".ljust(count, "0")[:count],
    )


def _zone(count: int, *, zulu: bool) -> _Field:
    """Make an offset field; ``Z`` letters never write ``Z``, ``X`` letters do for UTC."""
    colon = ":" if zulu and count == 3 else ""
    short = zulu and count == 1

    def write(moment: datetime) -> str:
        offset = moment.utcoffset() or timedelta(0)
        if zulu and not offset:
            return "Z"
        minutes = int(abs(offset).total_seconds()) // 60
        tail = "" if short and not minutes % 60 else f"{colon}{minutes % 60:02d}"
        return f"{'-' if offset < timedelta(0) else '+'}{minutes // 60:02d}{tail}"

    return _Field("offset", f"Z|{_PLAIN_OFFSET}", f"Z|{_PLAIN_OFFSET}", read_offset, write)


_PLAIN_OFFSET = "[+-][0-9]{2}(?::?[0-9]{2})?"


def read_offset(text: str) -> int:
    """Return an offset from UTC in minutes.

    >>> read_offset("+05:30"), read_offset("-0100"), read_offset("+02"), read_offset("Z")
    (330, -60, 120, 0)
    """
    match = _OFFSET.fullmatch(text)
    if match is None:
        return 0
    minutes = int(match.group(2)) * 60 + int(match.group(3) or 0)
    return -minutes if match.group(1) == "-" else minutes


_MAKERS: Mapping[str, Callable[[int], _Field]] = {
    "y": _year,
    "M": _month,
    "d": lambda count: _number("day", count, (1, 31), lambda moment: moment.day),
    "E": _weekday,
    "a": _half,
    "H": lambda count: _number("hour", count, (0, 23), lambda moment: moment.hour),
    "k": lambda count: _number("hour", count, (1, 24), lambda moment: moment.hour, 24),
    "h": lambda count: _number("hour12", count, (1, 12), lambda moment: moment.hour % 12, 12),
    "K": lambda count: _number("hour12", count, (0, 11), lambda moment: moment.hour % 12),
    "m": lambda count: _number("minute", count, (0, 59), lambda moment: moment.minute),
    "s": lambda count: _number("second", count, (0, 59), lambda moment: moment.second),
    "S": _fraction,
    "Z": lambda count: _zone(count, zulu=False),
    "X": lambda count: _zone(count, zulu=True),
}
