"""Reads the folder of a table app, from a checkout, a wheel or a user's disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Any

from midspan.apps.definition import (
    AccessFile,
    AppDefinition,
    AppFile,
    DataFile,
    ImportFile,
    PropertyFile,
    RecordDefinition,
    RoleFile,
    RuleFile,
    ServiceFile,
    TableFile,
    convert,
    text,
)
from midspan.apps.document import read_yaml
from midspan.apps.importfile import import_records, staging_table
from midspan.dictionary import FIELD_TYPES, TableSpec
from midspan.kernel.errors import InvalidDefinition, did_you_mean
from midspan.kernel.ids import derived_id

Keys = dict[tuple[str, str], str]
"""The sys_id of each named record: (table, key) to id."""

BUILT_IN = ("platform", "task", "cmdb", "imports", "mid", "flow")
_FOLDERS = ("tables", "data", "rest", "imports", "rules", "flows", "files", "tests")
_FILES = ("app.yaml", "roles.yaml", "acls.yaml", "properties.yaml", "README.md")
_OPERATIONS = ("read", "write", "create", "delete", "execute")
_REF = re.compile(r",(?=ref:)")


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
        self._keys = keys
        self._hash = hashlib.sha256()
        self._records: list[RecordDefinition] = []
        self._places: dict[tuple[str, str], str] = {}

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
        records = tuple(self._resolved(record) for record in self._records)
        return AppDefinition(app, tables, records, self._hash.hexdigest())

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

    def _add(
        self, table: str, key: str, values: Mapping[str, str], file: str, sys_id: str = ""
    ) -> str:
        sys_id = sys_id or derived_id(table, key)
        if (table, sys_id) in self._places:
            first = self._places[(table, sys_id)]
            raise InvalidDefinition(
                f"{file}: the record {key!r} of {table} is defined already, in {first}",
                hint="Give one of them another key.",
            )
        self._places[(table, sys_id)] = file
        self._keys[(table, key)] = sys_id
        self._records.append(RecordDefinition(table, sys_id, dict(values), file))
        return sys_id

    def _data(self) -> None:
        for file, data in self._each("data"):
            for position, raw in enumerate(_listed(data, file)):
                block = convert(raw, DataFile, f"{file}[{position}]")
                for record in block.records:
                    self._data_record(block.table, dict(record), file)

    def _data_record(self, table: str, record: dict[str, Any], file: str) -> None:
        sys_id = text(record.pop("sys_id", ""))
        key = text(record.pop("key", "")) or sys_id or text(record.get("name"))
        if not key:
            raise InvalidDefinition(
                f"{file}: a record of {table} has neither key, sys_id nor name",
                hint="Give it a key; its sys_id is derived from table and key.",
            )
        values = {name: self._value(value, file) for name, value in record.items()}
        self._add(table, key, values, file, sys_id)

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
        contained = []
        for name, raw in self._mapping(file).items():
            role = convert(raw or {}, RoleFile, f"{file}: {name}")
            values = {
                "name": name,
                "description": role.description,
                "elevated_privilege": text(role.elevated),
                "grantable": text(role.grantable),
            }
            role_id = self._add("sys_user_role", name, values, file, role.sys_id)
            contained += [(name, role_id, other) for other in role.includes]
        for name, role_id, other in contained:
            values = {"role": role_id, "contains": f"ref:sys_user_role/{other}"}
            self._add("sys_user_role_contains", f"{name}/{other}", values, file)

    def _access(self) -> None:
        if not self._folder.joinpath("acls.yaml").is_file():
            return
        for position, raw in enumerate(_listed(self._yaml("acls.yaml"), "acls.yaml")):
            rule = convert(raw, AccessFile, f"acls.yaml[{position}]")
            _check_access(rule, f"acls.yaml[{position}]")
            for operation in rule.operations or (rule.operation,):
                key = f"{rule.name}/{operation}/{','.join(rule.roles)}/{rule.condition}"
                values = {
                    "name": rule.name,
                    "operation": operation,
                    "type": rule.type,
                    "condition": rule.condition,
                    "script": rule.script,
                    "advanced": text(bool(rule.script)),
                    "description": rule.description,
                    "active": "true",
                    "admin_overrides": "true",
                }
                rule_id = self._add("sys_security_acl", key, values, "acls.yaml")
                for role in rule.roles:
                    link = {
                        "sys_security_acl": rule_id,
                        "sys_user_role": f"ref:sys_user_role/{role}",
                    }
                    self._add("sys_security_acl_role", f"{key}/{role}", link, "acls.yaml")

    def _properties(self) -> None:
        file = "properties.yaml"
        for name, raw in self._mapping(file).items():
            data = raw if isinstance(raw, dict) else {"value": raw}
            entry = convert(data, PropertyFile, f"{file}: {name}")
            values = {
                "name": name,
                "value": text(entry.value),
                "type": entry.type,
                "description": entry.description,
                "choices": ",".join(entry.choices),
                "is_private": text(entry.private),
                "read_roles": ",".join(entry.read_roles),
                "write_roles": ",".join(entry.write_roles),
            }
            self._add("sys_properties", name, values, file)

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
        service_id = self._add("sys_ws_definition", key, definition, file)
        for number, version in enumerate(service.versions, 1):
            values = {
                "version": str(number),
                "version_id": version,
                "web_service_definition": service_id,
                "is_default": text(version == service.default_version),
                "active": "true",
            }
            self._add("sys_ws_version", f"{key}/{version}", values, file)
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
            self._add("sys_ws_operation", unique, values, file)

    def _imports(self) -> Iterator[TableSpec]:
        """Add the records of the import files; yield the staging tables that they describe."""
        for file, data in self._each("imports"):
            definition = convert(data, ImportFile, file)
            for table, key, values in import_records(definition):
                self._add(table, key, values, file)
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
            self._add("sys_script", f"{rule.table}/{rule.name}", values, file)

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
            self._add("sys_hub_flow", name, values, file)

    def _resolved(self, record: RecordDefinition) -> RecordDefinition:
        """Replace ``ref:table/key`` by the id of that record."""
        if not any(value.startswith("ref:") for value in record.values.values()):
            return record
        values = {name: self._reference(value, record) for name, value in record.values.items()}
        return RecordDefinition(record.table, record.sys_id, values, record.file)

    def _reference(self, value: str, record: RecordDefinition) -> str:
        if not value.startswith("ref:"):
            return value
        if len(values := _REF.split(value)) > 1:
            return ",".join(self._reference(item, record) for item in values)
        table, _, key = value.removeprefix("ref:").partition("/")
        found = self._keys.get((table, key))
        if found is None:
            near = did_you_mean(key, (known for place, known in self._keys if place == table))
            raise InvalidDefinition(
                f"{record.file}: no app has a record {key!r} of {table}", hint=near
            )
        return found


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
        if field.type is not None and field.type not in FIELD_TYPES:
            raise InvalidDefinition(
                f"{file}: field {name} has the unknown type {field.type}",
                hint=did_you_mean(field.type, FIELD_TYPES),
            )
        if field.type == "reference" and not field.to:
            raise InvalidDefinition(
                f"{file}: field {name} does not say what it refers to",
                hint="Add the name of a table: to: TABLE",
            )
    return table.spec()


def _check_access(rule: AccessFile, place: str) -> None:
    """Refuse a rule without an operation, or with nothing that could ever grant it."""
    operations = rule.operations or (rule.operation,)
    wrong = next((name for name in operations if name not in _OPERATIONS), None)
    if wrong is not None:
        raise InvalidDefinition(
            f"{place}: {rule.name} has no operation {wrong!r}",
            hint=did_you_mean(wrong, _OPERATIONS) or f"Known: {', '.join(_OPERATIONS)}",
        )
    if not (rule.roles or rule.condition or rule.script):
        raise InvalidDefinition(
            f"{place}: {rule.name} would never grant anything",
            hint="Give it roles, a condition or a script.",
        )


def _listed(data: Any, file: str) -> list[Any]:
    if data is None:
        return []
    if not isinstance(data, list):
        raise InvalidDefinition(f"{file}: expected a list of entries")
    return data
