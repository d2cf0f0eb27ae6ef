"""A flow as its author writes it: one YAML document, read strictly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
import yaml
from msgspec import Struct

from midspan.kernel.errors import InvalidDefinition, did_you_mean


class Trigger(Struct, frozen=True, forbid_unknown_fields=True):
    """What starts the flow: changes of a table's records, its descendants included."""

    table: str
    when: Literal["created", "updated", "created_or_updated"] = "created_or_updated"
    condition: str = ""
    run: Literal["once", "for_each_unique_change", "every"] = "every"


class ActionStep(Struct, frozen=True, forbid_unknown_fields=True):
    """Run an action of a spoke; inputs hold pills."""

    id: str
    spoke: str
    action: str
    connection: str = ""
    inputs: dict[str, Any] = {}


class LogStep(Struct, frozen=True, forbid_unknown_fields=True):
    """Write a line into the run's log."""

    id: str
    message: str


class IfStep(Struct, frozen=True, forbid_unknown_fields=True):
    """Go on with one of two lists of steps."""

    id: str
    condition: str
    then: tuple[Step, ...] = ()
    otherwise: tuple[Step, ...] = msgspec.field(default=(), name="else")


Step: TypeAlias = ActionStep | LogStep | IfStep


class Flow(Struct, frozen=True, kw_only=True):
    """A definition; ids of steps are unique in it."""

    name: str
    trigger: Trigger
    steps: tuple[Step, ...]
    description: str = ""

    def each(self) -> Iterator[Step]:
        """Yield every step in the order of the document, branches included."""
        return _each(self.steps)


_KINDS: Mapping[str, type[Step]] = {"action": ActionStep, "log": LogStep, "if": IfStep}
_KEYS = ("name", "description", "active", "trigger", "steps")


def parse_flow(text: str, place: str = "the flow") -> Flow:
    """Read a definition.

    Raises:
        InvalidDefinition: naming the step and, for an unknown name, the nearest one.
    """
    raw = _read(text, place)
    _known(place, raw, _KEYS)
    if not isinstance(raw.get("name"), str):
        raise InvalidDefinition(f"{place}: expected a name")
    trigger = raw.get("trigger")
    if not isinstance(trigger, dict):
        raise InvalidDefinition(f"{place}: expected a trigger with a table")
    _known(f"{place}: trigger", trigger, Trigger.__struct_fields__)
    seen: set[str] = set()
    return Flow(
        name=raw["name"],
        description=str(raw.get("description") or ""),
        trigger=_convert(f"{place}: trigger", trigger, Trigger),
        steps=_steps(raw.get("steps"), place, seen),
    )


def _each(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, IfStep):
            yield from _each(step.then)
            yield from _each(step.otherwise)


def _steps(raw: Any, place: str, seen: set[str]) -> tuple[Step, ...]:
    if not isinstance(raw, list) or not raw:
        raise InvalidDefinition(f"{place}: expected a list of steps")
    return tuple(_step(entry, place, number, seen) for number, entry in enumerate(raw, 1))


def _step(raw: Any, place: str, number: int, seen: set[str]) -> Step:
    """Read one step: ``id`` and exactly one of if, action and log with its content."""
    where = f"{place}: step {number}"
    if not isinstance(raw, dict) or not isinstance(raw.get("id"), str):
        raise InvalidDefinition(f"{where}: expected an id", hint="Example: id: post")
    name = raw["id"]
    where = f"{place}: step {name!r}"
    if not name.isidentifier() or name in seen:
        reason = "is used twice" if name in seen else "may hold letters, digits and _ only"
        raise InvalidDefinition(f"{where}: the id {reason}")
    seen.add(name)
    _known(where, raw, ("id", *_KINDS))
    kinds = [key for key in raw if key != "id"]
    if len(kinds) != 1:
        raise InvalidDefinition(f"{where}: expected one of {', '.join(_KINDS)}")
    content = raw[kinds[0]]
    if kinds[0] == "log" and isinstance(content, str):
        content = {"message": content}
    if not isinstance(content, dict):
        raise InvalidDefinition(f"{where}: expected names with values below {kinds[0]!r}")
    kind = _KINDS[kinds[0]]
    fields = [field for field in kind.__struct_encode_fields__ if field != "id"]
    _known(where, content, fields)
    if kind is not IfStep:
        read: Step = _convert(where, {"id": name, **content}, kind)
        return read
    branches = {
        key: _steps(content[key], where, seen) for key in ("then", "else") if content.get(key)
    }
    if not isinstance(content.get("condition"), str):
        raise InvalidDefinition(f"{where}: expected a condition")
    return IfStep(name, content["condition"], branches.get("then", ()), branches.get("else", ()))


def _known(where: str, raw: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in raw:
        if key not in known:
            hint = did_you_mean(str(key), known) or f"Known: {', '.join(known)}."
            raise InvalidDefinition(f"{where}: unknown key {key!r}", hint=hint)


def _convert(where: str, raw: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise InvalidDefinition(f"{where}: {str(error).replace('`', '')}") from None


def _read(text: str, place: str) -> dict[str, Any]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _refuse_twice(node, place)
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidDefinition(f"{place} is not YAML", detail=str(error)) from None
    if not isinstance(raw, dict):
        raise InvalidDefinition(f"{place}: expected name, trigger and steps")
    return raw


def _refuse_twice(node: yaml.Node, place: str) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise InvalidDefinition(f"{place}, line {line}: the key {key!r} is given twice")
        children = [value for _, value in node.value]
    else:
        children = node.value if isinstance(node, yaml.SequenceNode) else []
    for child in children:
        _refuse_twice(child, place)
