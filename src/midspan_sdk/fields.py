"""Reads a struct type as the list of fields that forms, data pills and reference pages show."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec import inspect as types

_PLAIN: dict[type[types.Type], str] = {
    types.StrType: "string",
    types.UUIDType: "string",
    types.IntType: "integer",
    types.FloatType: "decimal",
    types.DecimalType: "decimal",
    types.BoolType: "boolean",
    types.DateTimeType: "datetime",
    types.DateType: "date",
    types.TimeType: "time",
    types.TimeDeltaType: "duration",
    types.LiteralType: "choice",
    types.EnumType: "choice",
    types.DictType: "object",
    types.TypedDictType: "object",
    types.StructType: "object",
    types.AnyType: "json",
}
_ARRAYS = (types.ListType, types.SetType, types.FrozenSetType, types.VarTupleType)
_STRUCTURED = (*_ARRAYS, types.DictType, types.TypedDictType, types.StructType)
_ANY_OBJECT = types.DictType(types.StrType(), types.AnyType())


class InputField(Struct, frozen=True):
    """One field as a flow designer knows it.

    ``type`` is one of string, integer, decimal, boolean, choice, datetime, date, time, duration,
    object, json (any value) or ``array.<one of these>``. ``default`` is plain JSON data and only
    means something when ``required`` is false; ``nullable`` fields may be left empty. ``fields``
    describes the members of an object, or of an array's objects, where the type names them.
    """

    name: str
    title: str
    type: str
    description: str = ""
    required: bool = True
    nullable: bool = False
    default: Any = None
    max_length: int | None = None
    choices: tuple[str | int, ...] = ()
    fields: tuple[InputField, ...] = ()


def fields_of(kind: type[Struct]) -> list[InputField]:
    """Return the fields of ``kind`` in the order they are written.

    Raises:
        TypeError: a field has a type that no flow can hold; the message names it.
    """
    info = types.type_info(kind)
    if not isinstance(info, types.StructType):
        raise TypeError(f"{kind!r} is not a Struct type")
    return [_field(each, (kind,)) for each in info.fields]


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """Return the JSON schema (2020-12) of ``kind``, references resolved by ``$defs``."""
    return msgspec.json.schema(kind)


def _field(declared: types.Field, inside: tuple[type, ...]) -> InputField:
    outer, meta = _unwrap(declared.type)
    inner, nullable = _without_none(outer)
    inner, inner_meta = _unwrap(inner)
    meta = {**inner_meta, **meta}
    name = declared.encode_name
    try:
        kind = _type_name(inner)
    except TypeError as error:
        raise TypeError(f"{inside[-1].__name__}.{name}: {error}") from None
    return InputField(
        name=name,
        title=meta.get("title") or name.replace("_", " ").capitalize(),
        type=kind,
        description=meta.get("description", ""),
        required=declared.required,
        nullable=nullable,
        default=_default(declared),
        max_length=getattr(inner, "max_length", None),
        choices=_choices(inner),
        fields=_members(inner, inside),
    )


def _unwrap(kind: types.Type) -> tuple[types.Type, dict[str, Any]]:
    meta: dict[str, Any] = {}
    while isinstance(kind, types.Metadata):
        meta = {**(kind.extra_json_schema or {}), **meta}
        kind = kind.type
    return kind, meta


def _without_none(kind: types.Type) -> tuple[types.Type, bool]:
    if not isinstance(kind, types.UnionType):
        return kind, isinstance(kind, (types.NoneType, types.AnyType))
    rest = [each for each in kind.types if not isinstance(each, types.NoneType)]
    nullable = len(rest) < len(kind.types)
    if len(rest) == 1:
        return rest[0], nullable
    structured = all(isinstance(_unwrap(each)[0], _STRUCTURED) for each in rest)
    return (_ANY_OBJECT if structured else types.AnyType()), nullable


def _type_name(kind: types.Type) -> str:
    if isinstance(kind, _ARRAYS):
        item, _ = _unwrap(kind.item_type)
        item, _ = _without_none(item)
        inner = _type_name(_unwrap(item)[0])
        return f"array.{'object' if inner == 'json' or inner.startswith('array.') else inner}"
    name = _PLAIN.get(type(kind))
    if name is None:
        raise TypeError(f"a flow cannot hold a {type(kind).__name__.removesuffix('Type')} value")
    return name


def _default(declared: types.Field) -> Any:
    if declared.default is not NODEFAULT:
        return msgspec.to_builtins(declared.default)
    if declared.default_factory is not NODEFAULT:
        return msgspec.to_builtins(declared.default_factory())
    return None


def _choices(kind: types.Type) -> tuple[str | int, ...]:
    if isinstance(kind, types.LiteralType):
        return tuple(value for value in kind.values if isinstance(value, (str, int)))
    if isinstance(kind, types.EnumType):
        return tuple(member.value for member in kind.cls)
    return ()


def _members(kind: types.Type, inside: tuple[type, ...]) -> tuple[InputField, ...]:
    if isinstance(kind, _ARRAYS):
        kind, _ = _unwrap(kind.item_type)
    if not isinstance(kind, types.StructType) or kind.cls in inside:  # a type may hold itself
        return ()
    return tuple(_field(each, (*inside, kind.cls)) for each in kind.fields)
