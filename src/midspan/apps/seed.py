"""Reads a seed file: the tables, columns, choices, users and records that an instance begins with.

Every part becomes what the files of an app become, so that the same installer checks and writes it.
The format is described for authors in ``docs/reference/seed-files.md``. Pure, but for the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from midspan.apps.definition import (
    AppDefinition,
    AppFile,
    FieldFile,
    RecordDefinition,
    TableFile,
    check_field,
    convert,
    text,
)
from midspan.apps.document import Lines, read_marked
from midspan.apps.entries import Entries, Keys
from midspan.dictionary import Choice, TableSpec
from midspan.dictionary.metadata import choice_row, field_row
from midspan.kernel.errors import InvalidDefinition, InvalidRequest, did_you_mean
from midspan.kernel.ids import derived_id

_NAME = re.compile(r"[^a-z0-9]+")
_AFTER_OTHERS = 1000
"""Place of the first added choice among those of its column."""
_USER_KEYS = ("password", "roles", "groups")


class SeedFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What a seed file may hold; every part may be missing."""

    tables: dict[str, Any] = {}
    columns: dict[str, dict[str, Any]] = {}
    choices: dict[str, Any] = {}
    roles: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    users: dict[str, Any] = {}
    acls: tuple[Any, ...] = ()
    properties: dict[str, Any] = {}
    records: dict[str, tuple[dict[str, Any], ...]] = {}


class Members(Struct, frozen=True):
    """The roles and groups that a seed file gives to a user or a group."""

    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Secret(Struct, frozen=True):
    """A value that is written by itself, so that no hash of it is kept with what was installed."""

    table: str
    sys_id: str
    field: str
    text: str
    place: str


class Seed(Struct, frozen=True):
    """A seed file that was read and whose parts have the right form."""

    path: str
    name: str
    content: SeedFile
    lines: Lines
    content_hash: str

    def place(self, *path: str | int) -> str:
        """Return file and line of a part, as errors name it."""
        return f"{self.path}:{self.lines.at(*path)}"


class Values:
    """Where values that are not in the file come from, and whether passwords may be in it."""

    def __init__(self, environment: Mapping[str, str], *, plain: bool) -> None:
        self.environment = environment
        self.plain = plain
        self.used: set[str] = set()
        """Names of the variables that were read."""

    def variable(self, value: object, place: str) -> str:
        """Return the text of ``{env: NAME}``.

        Raises:
            InvalidDefinition: it has another form, or the variable is not set.
        """
        if (
            not isinstance(value, dict)
            or set(value) != {"env"}
            or not isinstance(value["env"], str)
        ):
            raise InvalidDefinition(f"{place}: expected a text or {{env: NAME}}, got {value}")
        found = self.environment.get(value["env"])
        if not found:
            raise InvalidDefinition(
                f"{place}: the variable {value['env']} is not set",
                hint=f"Export {value['env']} before the instance is started.",
            )
        self.used.add(value["env"])
        return found


def read_seed(path: Path) -> Seed:
    """Read a seed file; whether its names exist is checked when it is applied.

    Raises:
        InvalidRequest: the file cannot be read.
        InvalidDefinition: it does not parse or has a part that no seed has; names file and line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"The seed {path} cannot be read", detail=error.strerror) from error
    data, lines = read_marked(content, str(path))
    if data is not None and not isinstance(data, dict):
        raise InvalidDefinition(f"{path}: expected tables, users, records … with their values")
    keys = [str(key) for key in data or {}]
    known = [field.name for field in msgspec.structs.fields(SeedFile)]
    for key in keys:
        if key not in known:
            raise InvalidDefinition(
                f"{path}:{lines.at(key)}: a seed has no part {key!r}",
                hint=did_you_mean(key, known) or f"Known: {', '.join(known)}",
            )
    parts = {str(key): value for key, value in (data or {}).items() if value is not None}
    for key, value in parts.items():
        convert({key: value}, SeedFile, f"{path}:{lines.at(key)}")
    seed = convert(parts, SeedFile, str(path))
    name = "seed_" + (_NAME.sub("_", path.stem.lower()).strip("_") or "file")
    return Seed(str(path), name, seed, lines, hashlib.sha256(content).hexdigest())


def seed_app(seed: Seed, keys: Keys, values: Values) -> tuple[AppDefinition, list[Secret]]:
    """Return a seed as an app, and the values to write by themselves.

    ``keys`` are the named records that there are; those of this seed are added.

    Raises:
        InvalidDefinition: names file and line of what is wrong, and the nearest right name.
    """
    return _Builder(seed, keys, values).build()


class _Builder:
    """Turns the parts of one seed into records; used once."""

    def __init__(self, seed: Seed, keys: Keys, values: Values) -> None:
        self._seed = seed
        self._keys = keys
        self._values = values
        self._entries = Entries(keys)
        self._secrets: list[Secret] = []

    def build(self) -> tuple[AppDefinition, list[Secret]]:
        content = self._seed.content
        tables = tuple(self._table(name, raw) for name, raw in content.tables.items())
        columns = (*self._columns(), *self._choices())
        self._entries.roles(
            (name, raw, place, place)
            for name, raw in content.roles.items()
            if (place := self._seed.place("roles", name))
        )
        for name, raw in content.groups.items():
            self._group(name, raw)
        for name, raw in content.users.items():
            self._user(name, raw)
        for position, raw in enumerate(content.acls):
            place = self._seed.place("acls", position)
            self._entries.access(raw, place, place)
        for name, raw in content.properties.items():
            place = self._seed.place("properties", name)
            self._entries.property(name, raw, place, place)
        for table, records in content.records.items():
            for position, raw in enumerate(records):
                self._record(table, raw, self._seed.place("records", table, position))
        app = AppFile(name=self._seed.name, label=f"Seed {self._seed.path}", version="1")
        records_ = self._entries.resolved()
        return AppDefinition(app, tables, records_, self._seed.content_hash, columns), self._secrets

    def _table(self, name: str, raw: Any) -> TableSpec:
        place = self._seed.place("tables", name)
        if raw is not None and not isinstance(raw, dict):
            raise InvalidDefinition(f"{place}: expected label, fields … of the table {name}")
        table = convert({**(raw or {}), "table": name}, TableFile, place)
        for field, said in table.fields.items():
            check_field(field, said, self._seed.place("tables", name, "fields", field))
        return table.spec()

    def _columns(self) -> Iterator[RecordDefinition]:
        for table, fields in self._seed.content.columns.items():
            for name, raw in fields.items():
                place = self._seed.place("columns", table, name)
                field = convert(raw or {}, FieldFile, place)
                check_field(name, field, place)
                spec = field.spec(name)
                yield RecordDefinition(*field_row(table, spec), place)
                for choice in spec.choices or ():
                    yield RecordDefinition(*choice_row(table, name, choice), place)

    def _choices(self) -> Iterator[RecordDefinition]:
        for path, raw in self._seed.content.choices.items():
            place = self._seed.place("choices", path)
            table, _, name = path.partition(".")
            if not name:
                raise InvalidDefinition(f"{place}: expected TABLE.COLUMN, got {path}")
            for choice in convert({"choices": raw}, FieldFile, place).spec(name).choices or ():
                later = Choice(choice.value, choice.label, choice.sequence + _AFTER_OTHERS)
                yield RecordDefinition(*choice_row(table, name, later), place)

    def _group(self, name: str, raw: Any) -> None:
        place = self._seed.place("groups", name)
        given, members = _members(raw, ("roles",), place)
        group = self._record("sys_user_group", {"name": name, **given, "key": name}, place)
        for role in members.roles:
            link = {"group": group, "role": f"ref:sys_user_role/{role}"}
            self._entries.add("sys_group_has_role", f"{name}/{role}", link, place)

    def _user(self, name: str, raw: Any) -> None:
        place = self._seed.place("users", name)
        if ("sys_user", name) in self._keys:
            raise InvalidDefinition(
                f"{place}: the user {name} is there already",
                hint="MIDSPAN_ADMIN_PASSWORD sets the password of admin."
                if name == "admin"
                else "Give this one another name.",
            )
        given, members = _members(raw, _USER_KEYS, place)
        user = self._record("sys_user", {**given, "user_name": name, "key": name}, place)
        for role in members.roles:
            grant = {"user": user, "role": f"ref:sys_user_role/{role}", "state": "active"}
            self._entries.add("sys_user_has_role", f"{name}/{role}", grant, place)
        for group in members.groups:
            link = {"user": user, "group": f"ref:sys_user_group/{group}"}
            self._entries.add("sys_user_grmember", f"{group}/{name}", link, place)
        if isinstance(raw, dict) and "password" in raw:
            where = self._seed.place("users", name, "password")
            self._secret("sys_user", user, "user_password", self._password(raw, where), where)

    def _password(self, raw: Mapping[str, Any], place: str) -> str:
        given = raw["password"]
        if isinstance(given, dict):
            return self._values.variable(given, place)
        if not self._values.plain:
            raise InvalidDefinition(
                f"{place}: a password may stand in a seed of an ephemeral instance only",
                hint="Name a variable of the environment: password: {env: NAME}",
            )
        return text(given)

    def _record(self, table: str, raw: Mapping[str, Any], place: str) -> str:
        hidden = {name: value for name, value in raw.items() if isinstance(value, dict)}
        shown = {name: value for name, value in raw.items() if name not in hidden}
        sys_id = self._entries.record(table, shown, place, _wire)
        for name, value in hidden.items():
            self._secret(table, sys_id, name, self._values.variable(value, place), place)
        return sys_id

    def _secret(self, table: str, sys_id: str, field: str, value: str, place: str) -> None:
        self._secrets.append(Secret(table, sys_id, field, value, place))


def _members(raw: Any, apart: tuple[str, ...], place: str) -> tuple[dict[str, Any], Members]:
    """Return the fields that were given, and roles and groups apart from them."""
    if raw is not None and not isinstance(raw, dict):
        raise InvalidDefinition(f"{place}: expected fields with their values")
    given = {name: value for name, value in (raw or {}).items() if name not in apart}
    wanted = {name: value for name, value in (raw or {}).items() if name in ("roles", "groups")}
    return given, convert({n: wanted[n] for n in wanted if n in apart}, Members, place)


def _wire(value: Any, place: str) -> str:
    if isinstance(value, list):
        if any(isinstance(item, list | dict) for item in value):
            raise InvalidDefinition(f"{place}: expected a list of texts, got {value}")
        return ",".join(text(item) for item in value)
    return text(value)


def seed_digest(seeds: Sequence[Seed]) -> str:
    """Return what tells one list of seeds from another."""
    return derived_id("seed", *(seed.content_hash for seed in seeds))
