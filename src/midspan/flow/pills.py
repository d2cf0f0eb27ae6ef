"""Data pills: ``{{trigger.record.caller_id.email}}``, checked beforehand, filled in at run time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from midspan.dictionary import Dictionary, FieldPath, FieldSpec, TableSpec
from midspan.flow.definition import ActionStep, Flow
from midspan.kernel.errors import InvalidDefinition, did_you_mean
from midspan_sdk import Action

RUN = "flow_run"
"""Name of the table that a run looks like to pills and conditions."""
DISPLAY = ".display_value"
_PILL = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")
_TYPES = {"integer": "integer", "decimal": "decimal", "boolean": "boolean"}
Value = Callable[[str], Any]


def run_dictionary(dictionary: Dictionary, flow: Flow, actions: Mapping[str, Action]) -> Dictionary:
    """Return the dictionary with a run's own tables: ``trigger.record…`` and ``steps.<id>.<out>``.

    ``actions`` are those of the flow's action steps by step id.
    """
    steps = [step for step in flow.each() if isinstance(step, ActionStep) and step.id in actions]
    specs = [
        TableSpec(
            name=RUN, fields=(_to("trigger", f"{RUN}_trigger"), _to("steps", f"{RUN}_steps"))
        ),
        TableSpec(name=f"{RUN}_trigger", fields=(_to("record", flow.trigger.table),)),
        TableSpec(
            name=f"{RUN}_steps",
            fields=tuple(_to(step.id, f"{RUN}_step_{step.id}") for step in steps),
        ),
    ]
    specs += [
        TableSpec(name=f"{RUN}_step_{step.id}", fields=_outputs(actions[step.id])) for step in steps
    ]
    return Dictionary({**dictionary.tables, **Dictionary.build(specs).tables})


def _to(name: str, table: str) -> FieldSpec:
    return FieldSpec(name=name, type="reference", reference=table)


def _outputs(action: Action) -> tuple[FieldSpec, ...]:
    return tuple(
        FieldSpec(name=field.name, type=_TYPES.get(field.type, "json"))
        for field in action.output_fields
    )


def pills_of(value: Any) -> Iterator[str]:
    """Yield the pills in a text, list or mapping."""
    if isinstance(value, str):
        yield from (match[1] for match in _PILL.finditer(value))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from pills_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from pills_of(each)


def pill_path(dictionary: Dictionary, pill: str) -> FieldPath:
    """Return the path of a pill in a run's dictionary.

    Raises:
        InvalidDefinition: a part does not exist; the hint names the nearest.
    """
    found = dictionary.find_path(RUN, pill.removesuffix(DISPLAY))
    if found is not None:
        return found
    here, known = RUN, ""
    for part in pill.split("."):
        field = dictionary.table(here).fields.get(part)
        if field is None or not field.reference:
            known = part
            break
        here = field.reference
    names = [name for name in dictionary.table(here).fields if not name.startswith("sys_")]
    hint = did_you_mean(known, names) or f"Known: {', '.join(sorted(names)[:20])}."
    raise InvalidDefinition(f"there is no {{{{{pill}}}}}: {known!r} is unknown", hint=hint)


def fill(value: Any, read: Value) -> Any:
    """Return a value with its pills replaced; a pill alone keeps its type."""
    if isinstance(value, str):
        whole = _PILL.fullmatch(value.strip())
        if whole is not None:
            return read(whole[1])
        return _PILL.sub(lambda match: as_text(read(match[1])), value)
    if isinstance(value, Mapping):
        return {key: fill(each, read) for key, each in value.items()}
    if isinstance(value, list):
        return [fill(each, read) for each in value]
    return value


def as_text(value: Any) -> str:
    """Return a value inside a text: texts as they are, everything else as JSON, nothing empty."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
