"""Records to app files: what ``midspan export`` asks for.

The files have one canonical form: applying them and exporting again gives the same text. Records
carry their sys_id; secrets, system fields and empty values are left out.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from midspan.api.deployment import INSTALLED, installed_apps, load_specs
from midspan.apps.load import BUILT_IN
from midspan.dictionary import Choice, Dictionary, FieldSpec, Storage, Strategy, TableSpec
from midspan.kernel.errors import InvalidRequest, NotFound, did_you_mean
from midspan.query import ReadOptions, Unknown, parse, plan_read
from midspan.records import RecordStore, RecordTransaction
from midspan.security import Actor

MOST_RECORDS = 50_000
CHUNK = 500
_SYSTEM = frozenset(
    {"sys_created_on", "sys_created_by", "sys_updated_on", "sys_updated_by", "sys_mod_count"}
)
_METADATA = frozenset(
    {"sys_db_object", "sys_dictionary", "sys_dictionary_override", "sys_choice", "sys_number"}
)


class UnknownApp(NotFound):
    """No app of this name is installed."""

    code = "MS221"


def export_app(records: RecordStore, actor: Actor, name: str) -> dict[str, str]:
    """Return the files of an installed app with the present values of its records.

    Raises:
        UnknownApp: nothing of such an app is installed.
    """
    with records.read(actor) as transaction:
        owned = transaction.find(INSTALLED, f"app={name.replace('^', '^^')}")
        if not owned:
            known = installed_apps(transaction)
            raise UnknownApp(
                f"No app {name} is installed",
                hint=did_you_mean(name, known) or f"Installed: {', '.join(sorted(known))}.",
            )
        ids: dict[str, list[str]] = {}
        for row in owned:
            ids.setdefault(row.get("table_name"), []).append(row.get("record_id"))
        files = {"app.yaml": _app_yaml(name, owned[0].get("version"))}
        files |= _tables(transaction, ids.get("sys_db_object", ()))
        for table in sorted(set(ids) - _METADATA):
            found = _rows(transaction, table, ids[table])
            if found:
                files[f"data/{table}.yaml"] = data_yaml(table, found)
    return files


def export_records(
    records: RecordStore, actor: Actor, table: str, query: str = ""
) -> dict[str, str]:
    """Return one data file with the records of a table that match an encoded query.

    Raises:
        InvalidTable, InvalidQuery: an unknown name.
        InvalidRequest: more than 50,000 records match.
    """
    with records.read(actor) as transaction:
        transaction.dictionary.table(table)
        ids = _matching(transaction, table, query, MOST_RECORDS + 1)
        if len(ids) > MOST_RECORDS:
            raise InvalidRequest(
                f"More than {MOST_RECORDS} records match", hint="Narrow it with a query."
            )
        found = _rows(transaction, table, ids)
    classes: dict[str, dict[str, dict[str, str]]] = {}
    for sys_id, (cls, values) in found.items():
        classes.setdefault(cls, {})[sys_id] = values
    return {
        f"data/{cls}.yaml": data_yaml(cls, {i: (cls, values) for i, values in rows.items()})
        for cls, rows in sorted(classes.items())
    }


Rows = Mapping[str, tuple[str, dict[str, str]]]
"""By sys_id: the real class and the values to write."""


def data_yaml(table: str, rows: Rows) -> str:
    """Return the canonical text of a data file; records in the order of their ids."""
    listed = [{"sys_id": sys_id, **rows[sys_id][1]} for sys_id in sorted(rows)]
    return to_yaml([{"table": table, "records": listed}])


def to_yaml(value: object) -> str:
    """Return YAML that ``apps.document`` reads as the same value; texts stay texts.

    >>> to_yaml([{"a": "no", "b": "12", "c": True}])
    '- a: "no"\\n  b: "12"\\n  c: true\\n'
    """
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, line_break="\n"
    )


class _Dumper(yaml.SafeDumper):
    """Quotes what other readers take for something else; long texts become blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write repeated values out."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent the entries of a list below its key."""
        super().increase_indent(flow, False)


_RESOLVER: Any = yaml.SafeDumper(io.StringIO()).resolve


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    block = "\n" in text and not any(line.endswith((" ", "\r", "\t")) for line in text.split("\n"))
    plain = _RESOLVER(yaml.ScalarNode, text, (True, False)) == "tag:yaml.org,2002:str"
    style = "|" if block else None if plain else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _app_yaml(name: str, version: str) -> str:
    requires = [] if name in BUILT_IN else list(BUILT_IN[:3])
    return to_yaml({"name": name, "label": name, "version": version, "requires": requires})


def _rows(transaction: RecordTransaction, table: str, ids: Iterable[str]) -> Rows:
    """Return what the actor may read of records, without system fields and empty values."""
    found = {}
    for sys_id, record in transaction.load(table, _readable(transaction, table, ids)).items():
        fields = transaction.dictionary.table(record.table).fields
        values = {
            name: value
            for name, value in sorted(record.values.items())
            if value
            and name not in _SYSTEM
            and name not in ("sys_id", "sys_class_name")
            and not fields[name].kind.secret
            and fields[name].storage is not Storage.NONE
            and transaction.access.field(record.table, name, "read")
        }
        found[sys_id] = (record.table, values)
    return found


def _readable(transaction: RecordTransaction, table: str, ids: Iterable[str]) -> list[str]:
    wanted = list(ids)
    found: list[str] = []
    for start in range(0, len(wanted), CHUNK):
        query = f"sys_idIN{','.join(wanted[start : start + CHUNK])}"
        found += _matching(transaction, table, query, CHUNK)
    return found


def _matching(transaction: RecordTransaction, table: str, query: str, limit: int) -> list[str]:
    """Return the ids of the records that match and that the actor may read."""
    options = ReadOptions(
        columns=["sys_id"], limit=limit, unknown=Unknown.REFUSE, values=transaction.values
    )
    plan = plan_read(transaction.dictionary, table, parse(query), options)
    return [str(row[0]) for row in transaction.run(transaction.restrict(plan))]


def _tables(transaction: RecordTransaction, ids: Iterable[str]) -> dict[str, str]:
    names = {row.get("name") for row in transaction.load("sys_db_object", list(ids)).values()}
    dictionary = transaction.dictionary
    return {
        f"tables/{spec.name}.yaml": to_yaml(_table(spec, dictionary))
        for spec in load_specs(transaction)
        if spec.name in names
    }


def _table(spec: TableSpec, dictionary: Dictionary) -> dict[str, Any]:
    number = spec.number
    unique = [[index[0][1:], *index[1:]] for index in spec.indexes if index[0].startswith("!")]
    indexes = [list(index) for index in spec.indexes if not index[0].startswith("!")]
    entries: dict[str, Any] = {
        "table": spec.name,
        "extends": spec.extends,
        "label": spec.label,
        "plural": spec.plural,
        "extendable": spec.extendable,
        "storage": spec.strategy.value if spec.strategy is not Strategy.SINGLE else None,
        "number": {"prefix": number.prefix, "digits": number.digits, "start": number.start}
        if number
        else None,
        "engine": spec.engine,
        "indexes": indexes,
        "unique": unique,
        "fields": {
            field.name: _field(field) for field in sorted(spec.fields, key=lambda each: each.name)
        },
    }
    kept = {name: value for name, value in entries.items() if value}
    kept |= {name: False for name in ("audit", "ws_access") if not getattr(spec, name)}
    return kept


def _field(field: FieldSpec) -> dict[str, Any]:
    entries: dict[str, Any] = {
        "type": field.type if field.type != "string" else None,
        "to": field.reference,
        "label": field.label,
        "max_length": field.max_length,
        "mandatory": field.mandatory,
        "read_only": field.read_only,
        "unique": field.unique,
        "index": field.indexed,
        "display": field.display,
        "default": field.default,
        "choices": _choices(field.choices),
        "audit": field.audit,
    }
    return {name: value for name, value in entries.items() if value is not None}


def _choices(choices: Iterable[Choice] | None) -> dict[str, str] | None:
    return {choice.value: choice.label for choice in choices} if choices else None
