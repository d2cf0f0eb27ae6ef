"""The immutable snapshot of all tables that every request works against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import msgspec
from msgspec import Struct

from midspan.dictionary.field import Field
from midspan.dictionary.fieldtype import Storage, field_type
from midspan.dictionary.table import FieldSpec, Strategy, Table, TableSpec
from midspan.kernel.errors import InvalidDefinition, InvalidField, InvalidTable, did_you_mean

SYSTEM_FIELDS: tuple[FieldSpec, ...] = (
    FieldSpec(name="sys_id", label="Sys ID", type="GUID", max_length=32, audit=False),
    FieldSpec(name="sys_created_on", label="Created", type="glide_date_time", audit=False),
    FieldSpec(name="sys_created_by", label="Created by", type="string", audit=False),
    FieldSpec(
        name="sys_updated_on", label="Updated", type="glide_date_time", indexed=True, audit=False
    ),
    FieldSpec(name="sys_updated_by", label="Updated by", type="string", audit=False),
    FieldSpec(name="sys_mod_count", label="Updates", type="integer", audit=False),
    FieldSpec(name="sys_tags", label="Tags", type="related_tags", audit=False),
)
"""Fields that every table has without naming them."""

CLASS_FIELD = FieldSpec(
    name="sys_class_name", label="Class", type="sys_class_name", max_length=80, audit=False
)
"""The field that tells the class of a row in a hierarchy."""


class FieldPath(Struct, frozen=True):
    """A field reached from a table by walking references: ``caller_id.department.name``.

    ``steps`` holds the fields from the first reference to the last field; ``tables`` the table each
    step belongs to, so both have the same length, one for a plain field.
    """

    name: str
    steps: tuple[Field, ...]
    tables: tuple[str, ...]

    @property
    def field(self) -> Field:
        """The field at the end of the walk."""
        return self.steps[-1]

    @property
    def table(self) -> str:
        """The table that the last field is read from."""
        return self.tables[-1]


class Dictionary:
    """Tables by name; never changed after it was built."""

    def __init__(
        self, tables: Mapping[str, Table], specs: Mapping[str, TableSpec] | None = None
    ) -> None:
        self.tables: Mapping[str, Table] = MappingProxyType(dict(tables))
        self._specs = specs or {}

    @classmethod
    def build(cls, specs: Iterable[TableSpec], former: Dictionary | None = None) -> Dictionary:
        """Resolve specifications, parents before children, in any order.

        What is specified as in ``former`` is taken from there: a change concerns few of hundreds
        of tables.

        Raises:
            InvalidDefinition: an unknown parent, a circle, a second definition of a name.
        """
        builder = _Builder(specs, former)
        return cls(builder.tables(), builder.specs)

    def made_of(self, spec: TableSpec) -> Table | None:
        """Return the table that was built from just this specification, whatever its parent."""
        return self.tables.get(spec.name) if self._specs.get(spec.name) == spec else None

    def __contains__(self, name: object) -> bool:
        return name in self.tables

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def table(self, name: str) -> Table:
        """Return the table called ``name``.

        Raises:
            InvalidTable: there is none; the hint names the nearest.
        """
        found = self.tables.get(name)
        if found is None:
            raise InvalidTable(name, self.tables)
        return found

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Return the table and its ancestors, nearest first."""
        chain = [name]
        while (parent := self.table(chain[-1]).parent) is not None:
            chain.append(parent)
        return tuple(chain)

    def is_a(self, name: str, ancestor: str) -> bool:
        """Tell whether ``name`` is ``ancestor`` or extends it."""
        return name in self.tables and ancestor in self.ancestors(name)

    def field(self, table: str, name: str) -> Field:
        """Return one field.

        Raises:
            InvalidTable, InvalidField: the name is unknown; the hint names the nearest.
        """
        fields = self.table(table).fields
        if name not in fields:
            raise InvalidField(table, name, fields)
        return fields[name]

    def find_path(self, table: str, name: str) -> FieldPath | None:
        """Return the path of a dotted name read from ``table``, or None when a part does not exist.

        ``ref_<class>.<field>`` reads a child's field from its parent table.
        """
        steps: list[Field] = []
        tables: list[str] = []
        here = table
        parts = name.split(".")
        if len(parts) > 1 and parts[0].startswith("ref_") and self.is_a(parts[0][4:], here):
            here = parts.pop(0)[4:]
        for position, part in enumerate(parts):
            known = self.tables.get(here)
            field = known.fields.get(part) if known else None
            if field is None:
                return None
            steps.append(field)
            tables.append(here)
            if position < len(parts) - 1:
                if not field.kind.reference or not field.reference:
                    return None
                here = field.reference
        return FieldPath(name, tuple(steps), tuple(tables))

    def path(self, table: str, name: str) -> FieldPath:
        """Return the path of a dotted name.

        Raises:
            InvalidTable, InvalidField: a part does not exist.
        """
        found = self.find_path(table, name)
        if found is None:
            raise InvalidField(table, name, self.table(table).fields)
        return found


class _Builder:
    """Resolves specifications into tables; used once."""

    def __init__(self, specs: Iterable[TableSpec], former: Dictionary | None) -> None:
        self.specs: dict[str, TableSpec] = {}
        for spec in specs:
            if spec.name in self.specs:
                raise InvalidDefinition(f"Table {spec.name} is defined twice")
            self.specs[spec.name] = spec
        self._former = former or Dictionary({})
        self._children: dict[str, list[str]] = {}
        for spec in self.specs.values():
            if spec.extends:
                self._children.setdefault(spec.extends, []).append(spec.name)
        self._done: dict[str, Table] = {}

    def tables(self) -> dict[str, Table]:
        for name in self.specs:
            self._resolve(name, ())
        return {name: self._done[name] for name in self.specs}

    def _resolve(self, name: str, below: tuple[str, ...]) -> Table:
        if name in self._done:
            return self._done[name]
        if name in below:
            raise InvalidDefinition(
                f"Tables extend each other in a circle: {' > '.join((*below, name))}"
            )
        spec = self.specs.get(name)
        if spec is None:
            raise InvalidDefinition(
                f"Table {below[-1]} extends {name}, which does not exist",
                hint=did_you_mean(name, self.specs),
            )
        parent = self._resolve(spec.extends, (*below, name)) if spec.extends else None
        self._done[name] = table = self._unchanged(spec, parent) or self._table(spec, parent)
        return table

    def _unchanged(self, spec: TableSpec, parent: Table | None) -> Table | None:
        """Return the former table, if nothing it is made of is another: itself, above, below."""
        found = self._former.made_of(spec)
        if found is None or found.classes != tuple(self._classes(spec.name)):
            return None
        return found if parent is self._former.tables.get(spec.extends or "") else None

    def _table(self, spec: TableSpec, parent: Table | None) -> Table:
        root = parent.root if parent else spec.name
        strategy = parent.strategy if parent else spec.strategy
        hierarchy = parent is not None or spec.extendable or spec.name in self._children
        inherited = parent.fields if parent else {}
        fields = dict(inherited)
        own = spec.fields if parent else (*SYSTEM_FIELDS, *spec.fields)
        if (
            parent is None
            and hierarchy
            and not any(f.name == "sys_class_name" for f in spec.fields)
        ):
            own = (*own, CLASS_FIELD)
        shared = parent is not None and strategy is Strategy.SINGLE
        for field_spec in own:
            fields[field_spec.name] = self._field(spec.name, field_spec, inherited, shared=shared)
        return Table(
            name=spec.name,
            label=spec.label or _title(spec.name),
            plural=spec.plural or f"{spec.label or _title(spec.name)}s",
            parent=spec.extends,
            root=root,
            strategy=strategy,
            extendable=spec.extendable or hierarchy,
            hierarchy=hierarchy,
            number=spec.number or (parent.number if parent else None),
            engine=spec.engine or (parent.engine if parent else None),
            audit=spec.audit and (parent.audit if parent else True),
            ws_access=spec.ws_access,
            fields=MappingProxyType(fields),
            own=frozenset(field_spec.name for field_spec in own),
            display=_display(fields),
            classes=tuple(self._classes(spec.name)),
            indexes=(
                *(parent.indexes if parent and strategy is Strategy.PER_CLASS else ()),
                *spec.indexes,
            ),
        )

    def _classes(self, name: str) -> Iterator[str]:
        yield name
        for child in self._children.get(name, ()):
            yield from self._classes(child)

    def _field(
        self, table: str, spec: FieldSpec, inherited: Mapping[str, Field], *, shared: bool
    ) -> Field:
        parent = inherited.get(spec.name)
        given = {
            name: value
            for name in spec.__struct_fields__
            if name != "name" and (value := getattr(spec, name)) is not None
        }
        if parent is not None:
            return self._override(parent, table, given)
        kind = field_type(given.get("type", "string"))
        given.setdefault("max_length", kind.max_length)
        given.setdefault("label", _title(spec.name))
        # Sibling classes in one wide table may use a name for different things, and the column of
        # neither may depend on which was defined first: its storage is part of its name.
        plain = not shared or kind.storage is Storage.TEXT
        column = spec.name if plain else f"{spec.name}__{kind.storage.value}"
        return Field(name=spec.name, table=table, column=column, **given)

    @staticmethod
    def _override(parent: Field, table: str, given: dict[str, object]) -> Field:
        """A child may relabel, restrict and default an inherited field, not change its storage."""
        changed = given.get("type")
        if isinstance(changed, str) and field_type(changed).storage is not parent.storage:
            raise InvalidDefinition(
                f"Table {table} cannot change field {parent.name} from {parent.type} to {changed}",
                hint="Give the new field another name.",
            )
        return msgspec.structs.replace(parent, **given)


def _display(fields: Mapping[str, Field]) -> str:
    marked = [field.name for field in fields.values() if field.display]
    if marked:
        return marked[-1]
    return next(
        (name for name in ("number", "name", "u_name", "label") if name in fields), "sys_id"
    )


def _title(name: str) -> str:
    text = name.removeprefix("u_").replace("_", " ")
    return text[:1].upper() + text[1:]
