"""Database addresses: URLs, the vendor's JDBC form included, read into one strict value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from midspan_link.errors import InvalidTarget, did_you_mean

_ALIASES = {
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
}
_PORTS = {"postgresql": 5432}
_OPTIONS: Mapping[str, frozenset[str]] = {
    "postgresql": frozenset({"sslmode", "host"}),
    "sqlite": frozenset(),
}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_JDBC_OPTIONS = {"ssl": {"true": ("sslmode", "require"), "false": ("sslmode", "prefer")}}
_NAME = re.compile(r"[^\x00-\x1f\x7f]*\Z")


class DatabaseTarget(Struct, frozen=True):
    """Where a database is; never holds a password. ``database`` is a path for ``sqlite``.

    ``host`` is a name or address, or an absolute directory for a PostgreSQL socket.
    """

    scheme: str
    database: str
    host: str = ""
    port: int = 0
    user: str = ""
    options: dict[str, str] = {}

    @property
    def place(self) -> str:
        """What an allow list speaks about: ``host:port``, ``unix:/dir`` or ``sqlite:/path``."""
        if self.scheme == "sqlite":
            return f"sqlite:{self.database}"
        if self.host.startswith("/"):
            return f"unix:{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """Return a URL for messages."""
        name = "" if self.scheme == "sqlite" else f"/{self.database}"
        return f"{self.scheme}://{self.place.removeprefix('sqlite:')}{name}"


def parse_target(url: str) -> DatabaseTarget:
    """Read a database address.

    Known: ``postgresql://[user@]host[:port]/database[?sslmode=…]``, the same after ``jdbc:``, a
    socket as ``postgresql:///database?host=/directory``, ``sqlite:///absolute/path`` and
    ``jdbc:sqlite:/path``.

    >>> parse_target("jdbc:postgresql://db.corp/assets").place
    'db.corp:5432'

    Raises:
        InvalidTarget: unknown scheme or option, a password inside, or a part that is missing.
    """
    text = url.strip().removeprefix("jdbc:")
    name = text.partition(":")[0].lower()
    scheme = _ALIASES.get(name)
    if scheme is None:
        raise InvalidTarget(
            f"There is no reader for {name[:40]!r} addresses",
            hint=did_you_mean(name, _ALIASES)
            or f"Known: {', '.join(sorted(set(_ALIASES.values())))}.",
        )
    return _sqlite(text) if scheme == "sqlite" else _network(scheme, text)


def _network(scheme: str, text: str) -> DatabaseTarget:
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS[scheme]
    except ValueError as error:
        raise InvalidTarget(f"The database address cannot be read: {error}") from None
    if parts.password is not None:
        raise InvalidTarget(
            "A database address must not hold a password",
            hint="Name a credential, or set password_file of a named target in mid.yaml.",
        )
    options = _options(scheme, parts.query)
    host = options.pop("host", "")
    if host and (parts.hostname or not host.startswith("/")):
        raise InvalidTarget("The option host is only for a socket directory: ?host=/run/postgresql")
    database = unquote(parts.path.lstrip("/"))
    if not database or not (parts.hostname or host):
        raise InvalidTarget(
            "The database address lacks its host or database name",
            hint=f"Write {scheme}://host:port/database.",
        )
    return DatabaseTarget(
        scheme,
        database=_clean(database),
        host=_clean(unquote(parts.hostname or host)),
        port=port,
        user=_clean(unquote(parts.username or "")),
        options=options,
    )


def _sqlite(text: str) -> DatabaseTarget:
    rest = text.partition(":")[2]
    path, question, _ = rest.partition("?")
    if question:
        raise InvalidTarget("A sqlite address takes no options; it is always opened read-only")
    path = unquote(path.removeprefix("//"))
    if not path.startswith("/") or ".." in path.split("/"):
        raise InvalidTarget(
            "A sqlite address needs an absolute path without '..'",
            hint="Write sqlite:///srv/data/assets.db.",
        )
    return DatabaseTarget("sqlite", database=_clean(path))


def _options(scheme: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for given, value in parse_qsl(query, keep_blank_values=True):
        name, meant = _JDBC_OPTIONS.get(given, {}).get(value.lower(), (given, value))
        known = _OPTIONS[scheme]
        if name not in known:
            raise InvalidTarget(
                f"The option {given!r} of the database address is not supported",
                hint=did_you_mean(given, known) or f"Known: {', '.join(sorted(known))}.",
            )
        if name == "sslmode" and meant not in _SSL_MODES:
            raise InvalidTarget(f"sslmode is one of {', '.join(_SSL_MODES)}")
        options[name] = meant
    return options


def _clean(text: str) -> str:
    if not _NAME.match(text):
        raise InvalidTarget("The database address holds control characters")
    return text
