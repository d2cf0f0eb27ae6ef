"""What is wrong with a flow before it runs: every name in it has to exist."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

from midspan.dictionary import Dictionary
from midspan.flow.definition import ActionStep, Flow, IfStep, LogStep, Step
from midspan.flow.pills import RUN, pill_path, pills_of, run_dictionary
from midspan.kernel.errors import InvalidDefinition, MidspanError, did_you_mean
from midspan.query import Unknown, parse, resolve_query
from midspan.security import PROBE
from midspan_sdk import Action, SdkError
from midspan_sdk.spoke import Spoke, load_spoke


class SpokeCatalogue:
    """The spokes by name, each loaded at its first use."""

    def __init__(self, sources: Mapping[str, Callable[[], Spoke]] | None = None) -> None:
        self._sources = sources if sources is not None else built_in()
        self._loaded: dict[str, Spoke] = {}

    @property
    def names(self) -> list[str]:
        """The known spokes in order."""
        return sorted(self._sources)

    def spoke(self, name: str) -> Spoke:
        """Return a spoke.

        Raises:
            InvalidDefinition: there is none of that name, or it cannot be loaded.
        """
        if name not in self._loaded:
            source = self._sources.get(name)
            if source is None:
                hint = did_you_mean(name, self.names) or f"Known: {', '.join(self.names)}."
                raise InvalidDefinition(f"there is no spoke {name!r}", hint=hint)
            try:
                self._loaded[name] = source()
            except SdkError as error:
                raise InvalidDefinition(f"spoke {name!r}: {error.message}") from error
        return self._loaded[name]

    def action(self, spoke: str, name: str) -> Action:
        """Return an action.

        Raises:
            InvalidDefinition: no such spoke or action; the hint names the nearest.
        """
        actions = self.spoke(spoke).actions
        if name not in actions:
            hint = did_you_mean(name, actions) or f"Known: {', '.join(actions)}."
            raise InvalidDefinition(f"spoke {spoke!r} has no action {name!r}", hint=hint)
        return actions[name]


def built_in() -> dict[str, Callable[[], Spoke]]:
    """Return the spokes that come with Midspan."""
    return {name: partial(load_spoke, f"midspan_spokes.{name}") for name in ("http", "slack")}


def actions_of(flow: Flow, spokes: SpokeCatalogue) -> dict[str, Action]:
    """Return the actions of a flow's action steps by step id.

    Raises:
        InvalidDefinition: one of them does not exist.
    """
    return {
        step.id: spokes.action(step.spoke, step.action)
        for step in flow.each()
        if isinstance(step, ActionStep)
    }


def check_flow(
    flow: Flow, dictionary: Dictionary, spokes: SpokeCatalogue, connections: Collection[str] | None
) -> list[str]:
    """Return what is wrong, a sentence each; ``connections`` None: they are not checked."""
    problems: list[str] = []
    if flow.trigger.table not in dictionary:
        hint = did_you_mean(flow.trigger.table, dictionary.tables) or ""
        return [f"trigger: there is no table {flow.trigger.table!r}. {hint}".strip()]
    problems += _condition(dictionary, flow.trigger.table, flow.trigger.condition, "trigger")
    actions: dict[str, Action] = {}
    for step in flow.each():
        if isinstance(step, ActionStep):
            try:
                actions[step.id] = spokes.action(step.spoke, step.action)
            except MidspanError as error:
                problems.append(f"step {step.id!r}: {error.explain()}")
    seen = run_dictionary(dictionary, flow, actions)
    for step in flow.each():
        problems += _step(step, seen, actions.get(step.id), connections)
    return problems


def _step(
    step: Step, dictionary: Dictionary, action: Action | None, connections: Collection[str] | None
) -> Iterator[str]:
    where = f"step {step.id!r}"
    match step:
        case IfStep():
            yield from _condition(dictionary, RUN, step.condition, where)
        case LogStep():
            yield from _pills(dictionary, step.message, where)
        case ActionStep():
            yield from _pills(dictionary, step.inputs, where)
            if action is not None:
                yield from _inputs(step, action, where)
            if connections is not None and step.connection and step.connection not in connections:
                hint = did_you_mean(step.connection, connections) or ""
                yield f"{where}: there is no connection {step.connection!r}. {hint}".strip()


def _inputs(step: ActionStep, action: Action, where: str) -> Iterator[str]:
    fields = {field.name: field for field in action.input_fields}
    for name in step.inputs:
        if name not in fields:
            hint = did_you_mean(name, fields) or f"Known: {', '.join(fields)}."
            yield f"{where}: action {action.name!r} has no input {name!r}. {hint}"
    for name, field in fields.items():
        if field.required and name not in step.inputs:
            yield f"{where}: action {action.name!r} needs the input {name!r}"


def _pills(dictionary: Dictionary, value: object, where: str) -> Iterator[str]:
    for pill in pills_of(value):
        try:
            pill_path(dictionary, pill)
        except InvalidDefinition as error:
            yield f"{where}: {error.explain()}"


def _condition(dictionary: Dictionary, table: str, text: str, where: str) -> Iterator[str]:
    try:
        resolve_query(dictionary, table, parse(text), Unknown.REFUSE, PROBE)
    except MidspanError as error:
        yield f"{where}: {error.explain()}"
