"""Column names and service ids made from the names people give to things."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Set

MAX_LENGTH = 80
"""Longest column name, the dictionary's limit."""

_NOT_IN_NAME = re.compile(r"[^a-z0-9]+")
_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "\u0131": "i",
    }
)


def column_name(label: str, taken: Set[str] = frozenset(), *, prefix: str = "u_") -> str:
    """Return the staging column for a label: ASCII, at most 80 characters, not in ``taken``.

    >>> column_name("E-mail address")
    'u_e_mail_address'
    >>> column_name("e mail (address)", {"u_e_mail_address"})
    'u_e_mail_address_2'
    >>> column_name("Größe"), column_name("u_serial"), column_name("名前")
    ('u_grosse', 'u_serial', 'u_column')
    """
    word = _ascii_word(label).removeprefix(prefix) or "column"
    base = f"{prefix}{word}"[:MAX_LENGTH].rstrip("_")
    name, count = base, 1
    while name in taken:
        count += 1
        suffix = f"_{count}"
        name = base[: MAX_LENGTH - len(suffix)].rstrip("_") + suffix
    return name


def column_names(labels: Iterable[str], *, prefix: str = "u_") -> list[str]:
    """Return one column name per label, in order, all different.

    >>> column_names(["Name", "name", "Name 2"])
    ['u_name', 'u_name_2', 'u_name_2_2']
    """
    names: list[str] = []
    taken: set[str] = set()
    for label in labels:
        name = column_name(label, taken, prefix=prefix)
        taken.add(name)
        names.append(name)
    return names


def service_id(name: str) -> str:
    """Return the part of a URL that stands for a service with this name.

    >>> service_id("Alert Receiver (Prometheus)")
    'alert_receiver_prometheus'
    >>> service_id("24/7"), service_id("…")
    ('s_24_7', 'service')
    """
    word = _ascii_word(name)[:MAX_LENGTH].rstrip("_") or "service"
    return word if word[0].isalpha() else f"s_{word}"[:MAX_LENGTH].rstrip("_")


def _ascii_word(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.lower().translate(_LETTERS))
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return _NOT_IN_NAME.sub("_", plain).strip("_")
