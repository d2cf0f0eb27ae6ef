"""Reads the folder of a table app, from a checkout, a wheel or a user's disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Any

from midspan.apps.definition import (
    AppDefinition,
    AppFile,
    DataFile,
    ImportFile,
    RuleFile,
    ServiceFile,
    TableFile,
    check_field,
    convert,
    text,
)
from midspan.apps.document import read_yaml
from midspan.apps.entries import Entries, Keys
from midspan.apps.importfile import import_records, staging_table
from midspan.dictionary import TableSpec
from midspan.kernel.errors import InvalidDefinition, did_you_mean
from midspan.kernel.ids import derived_id

BUILT_IN = ("platform", "task", "cmdb", "imports", "mid", "flow")
_FOLDERS = ("tables", "data", "rest", "imports", "rules", "flows", "files", "tests")
_FILES = ("app.yaml", "roles.yaml", "acls.yaml", "properties.yaml", "README.md")


def builtin_apps(keys: Keys | None = None) -> list[AppDefinition]:
    """Return the apps that come with Midspan, in the order in which they build on each other."""
    keys = {} if keys is None else keys
    root = resources.files("midspan_apps")
    return [load_app(root.joinpath(name), keys) for name in BUILT_IN]


@cache
def builtin_hash() -> str:
    """Return a hash over the built-in apps and the code that turns them into a database."""
    digest = hashlib.sha256()
    folders = [resources.files("midspan_apps").joinpath(name) for name in BUILT_IN]
    folders += [resources.files(package) for package in ("midspan.dictionary", "midspan.storage")]
    for folder in folders:
        for file in _walk(folder):
            if not file.name.endswith(".pyc"):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def load_app(folder: Traversable | Path, keys: Keys | None = None) -> AppDefinition:
    """Read an app. ``keys`` are the named records of apps read before; this app's are added.

    Raises:
        InvalidDefinition: a file is missing, does not parse, or says something unknown.
    """
    return _Reader(folder, {} if keys is None else keys).read()


class _Reader:
    """Reads one folder; used once."""

    def __init__(self, folder: Traversable | Path, keys: Keys) -> None:
        self._folder = folder
        self._hash = hashlib.sha256()
        self._entries = Entries(keys)

    def read(self) -> AppDefinition:
        if not self._folder.is_dir():
            raise InvalidDefinition(
                f"{self._folder} is not a folder", hint="Name the folder that holds app.yaml."
            )
        self._check_names()
        app = convert(self._yaml("app.yaml"), AppFile, "app.yaml")
        tables = tuple(_table(data, file) for file, data in self._each("tables"))
        self._roles()
        self._data()
        self._access()
        self._properties()
        self._services()
        tables += tuple(self._imports())
        self._rules()
        self._flows()
        return AppDefinition(app, tables, self._entries.resolved(), self._hash.hexdigest())

    def _check_names(self) -> None:
        for entry in self._folder.iterdir():
            known = _FOLDERS if entry.is_dir() else _FILES
            if entry.name not in known and not entry.name.startswith((".", "_")):
                raise InvalidDefinition(
                    f"{entry.name} is no part of an app",
                    hint=did_you_mean(entry.name, known) or f"Known: {', '.join(known)}",
                )

    def _yaml(self, place: str) -> Any:
        return read_yaml(self._bytes(place), place)

    def _bytes(self, place: str) -> bytes:
        try:
            content = self._folder.joinpath(place).read_bytes()
        except OSError as error:
            raise InvalidDefinition(
                f"{place} cannot be read", hint=f"It belongs into {self._folder}."
            ) from error
        self._hash.update(place.encode() + b"\0" + content)
        return content

    def _mapping(self, place: str) -> dict[str, Any]:
        """Return the mapping in a file that an app may leave out."""
        if not self._folder.joinpath(place).is_file():
            return {}
        data = self._yaml(place)
        if data is not None and not isinstance(data, dict):
            raise InvalidDefinition(f"{place}: expected names with their values")
        return {str(name): value for name, value in (data or {}).items()}

    def _each(self, folder: str) -> Iterator[tuple[str, Any]]:
        for file in self._files(folder):
            place = f"{folder}/{file.name}"
            if file.name.endswith(".yaml"):
                yield place, self._yaml(place)
            elif not (folder == "rules" and file.name.endswith(".js")):
                raise InvalidDefinition(
                    f"{place} is no YAML file", hint="Its name has to end in .yaml."
                )

    def _files(self, folder: str) -> list[Traversable]:
        place = self._folder.joinpath(folder)
        if not place.is_dir():
            return []
        shown = (entry for entry in place.iterdir() if not entry.name.startswith((".", "_")))
        return sorted(shown, key=lambda entry: entry.name)

    def _data(self) -> None:
        for file, data in self._each("data"):
            for position, raw in enumerate(_listed(data, file)):
                block = convert(raw, DataFile, f"{file}[{position}]")
                for record in block.records:
                    self._entries.record(block.table, record, file, self._value)

    def _value(self, value: Any, file: str) -> str:
        if isinstance(value, dict):
            if set(value) != {"file"}:
                raise InvalidDefinition(f"{file}: expected a text or {{file: NAME}}, got {value}")
            return self._text(f"files/{value['file']}", file)
        if isinstance(value, list):
            if any(isinstance(item, list | dict) for item in value):
                raise InvalidDefinition(f"{file}: expected a list of texts, got {value}")
            return ",".join(text(item) for item in value)
        return text(value)

    def _text(self, path: str, file: str) -> str:
        """Return the text of a file that another one names; it has to lie inside the app."""
        if ".." in PurePosixPath(path).parts or "\\" in path:
            raise InvalidDefinition(f"{file} names {path}, which is outside the app")
        if not self._folder.joinpath(path).is_file():
            raise InvalidDefinition(f"{file} names {path}, which does not exist")
        try:
            return self._bytes(path).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidDefinition(f"{path} is not UTF-8 text") from error

    def _roles(self) -> None:
        file = "roles.yaml"
        entries = self._mapping(file).items()
        self._entries.roles((name, raw, file, f"{file}: {name}") for name, raw in entries)

    def _access(self) -> None:
        if not self._folder.joinpath("acls.yaml").is_file():
            return
        for position, raw in enumerate(_listed(self._yaml("acls.yaml"), "acls.yaml")):
            self._entries.access(raw, "acls.yaml", f"acls.yaml[{position}]")

    def _properties(self) -> None:
        file = "properties.yaml"
        for name, raw in self._mapping(file).items():
            self._entries.property(name, raw, file, f"{file}: {name}")

    def _services(self) -> None:
        for folder in self._files("rest"):
            if not folder.is_dir():
                continue
            place = f"rest/{folder.name}"
            raw = self._yaml(f"{place}/service.yaml")
            service = convert(raw, ServiceFile, f"{place}/service.yaml")
            self._service(service, place)

    def _service(self, service: ServiceFile, place: str) -> None:
        file = f"{place}/service.yaml"
        base = f"/api/{service.namespace}/{service.service_id}"
        key = f"{service.namespace}/{service.service_id}"
        definition = {
            "name": service.name,
            "service_id": service.service_id,
            "namespace": service.namespace,
            "base_uri": base,
            "active": text(service.active),
            "is_versioned": text(bool(service.versions)),
            "default_version": service.default_version,
            "short_description": service.description,
            "enforce_acl": ",".join(service.acls),
        }
        service_id = self._entries.add("sys_ws_definition", key, definition, file)
        for number, version in enumerate(service.versions, 1):
            values = {
                "version": str(number),
                "version_id": version,
                "web_service_definition": service_id,
                "is_default": text(version == service.default_version),
                "active": "true",
            }
            self._entries.add("sys_ws_version", f"{key}/{version}", values, file)
        for resource in service.resources:
            version_key = f"{key}/{resource.version}"
            path = "" if resource.path == "/" else resource.path
            segment = f"/{resource.version}" if resource.version else ""
            values = {
                "name": resource.name,
                "web_service_definition": service_id,
                "web_service_version": (
                    derived_id("sys_ws_version", version_key) if resource.version else ""
                ),
                "http_method": resource.method.upper(),
                "relative_path": resource.path,
                "operation_uri": f"/api/{service.namespace}{segment}/{service.service_id}{path}",
                "operation_script": self._text(f"{place}/{resource.script}", file),
                "active": "true",
                "requires_authentication": text(resource.requires_authentication),
                "requires_acl_authorization": text(resource.requires_acl),
                "enforce_acl": ",".join(resource.acls),
                "consumes": resource.consumes,
                "produces": resource.produces,
                "short_description": resource.description,
            }
            unique = f"{version_key}/{resource.method.upper()} {resource.path}"
            self._entries.add("sys_ws_operation", unique, values, file)

    def _imports(self) -> Iterator[TableSpec]:
        """Add the records of the import files; yield the staging tables that they describe."""
        for file, data in self._each("imports"):
            definition = convert(data, ImportFile, file)
            for table, key, values in import_records(definition):
                self._entries.add(table, key, values, file)
            if definition.columns:
                yield staging_table(definition)

    def _rules(self) -> None:
        for file, data in self._each("rules"):
            rule = convert(data, RuleFile, file)
            template = "^".join(
                f"{name}={text(value).replace('^', '^^')}" for name, value in rule.set.items()
            )
            values = {
                "name": rule.name,
                "collection": rule.table,
                "when": rule.when,
                "order": str(rule.order),
                "active": text(rule.active),
                "action_insert": text(rule.insert),
                "action_update": text(rule.update),
                "action_delete": text(rule.delete),
                "action_query": text(rule.query),
                "role_conditions": ",".join(rule.roles),
                "advanced": text(bool(rule.script)),
                "script": self._text(f"rules/{rule.script}", file) if rule.script else "",
                "filter_condition": rule.condition,
                "template": template,
                "abort_action": text(rule.abort),
                "add_message": text(bool(rule.message)),
                "message": rule.message,
            }
            self._entries.add("sys_script", f"{rule.table}/{rule.name}", values, file)

    def _flows(self) -> None:
        for file, data in self._each("flows"):
            if not isinstance(data, dict) or not isinstance(data.get("name"), str):
                raise InvalidDefinition(f"{file}: a flow needs a name")
            content = self._text(file, file)
            name = file.removeprefix("flows/").removesuffix(".yaml")
            values = {
                "name": data["name"],
                "internal_name": name,
                "active": text(data.get("active", True)),
                "status": "published",
                "type": "flow",
                "description": text(data.get("description")),
                "definition": content,
            }
            self._entries.add("sys_hub_flow", name, values, file)


def _walk(folder: Traversable) -> Iterator[Traversable]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry


def _table(data: Any, file: str) -> TableSpec:
    table = convert(data, TableFile, file)
    if file != f"tables/{table.table}.yaml":
        raise InvalidDefinition(
            f"{file} defines the table {table.table}", hint=f"Call it tables/{table.table}.yaml."
        )
    for name, field in table.fields.items():
        check_field(name, field, file)
    return table.spec()


def _listed(data: Any, file: str) -> list[Any]:
    if data is None:
        return []
    if not isinstance(data, list):
        raise InvalidDefinition(f"{file}: expected a list of entries")
    return data
