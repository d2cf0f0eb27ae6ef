"""The dictionary: tables, fields, types and choices as one immutable snapshot. Pure."""

from midspan.dictionary.dictionary import SYSTEM_FIELDS, Dictionary, FieldPath
from midspan.dictionary.evolution import check_evolution
from midspan.dictionary.field import Choice, Field
from midspan.dictionary.fieldtype import FIELD_TYPES, FieldType, Storage, field_type
from midspan.dictionary.table import FieldSpec, NumberFormat, Strategy, Table, TableSpec

__all__ = [
    "FIELD_TYPES",
    "SYSTEM_FIELDS",
    "Choice",
    "Dictionary",
    "Field",
    "FieldPath",
    "FieldSpec",
    "FieldType",
    "NumberFormat",
    "Storage",
    "Strategy",
    "Table",
    "TableSpec",
    "check_evolution",
    "field_type",
]
