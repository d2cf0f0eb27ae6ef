"""One business rule: a row of ``sys_script`` read, checked and resolved against the dictionary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from midspan.dictionary import Dictionary, Field, FieldPath, Storage, Table
from midspan.dictionary.values import canonical
from midspan.kernel.errors import (
    InvalidDefinition,
    InvalidField,
    MidspanError,
    did_you_mean,
)
from midspan.query import (
    And,
    Condition,
    Or,
    Query,
    RelatedTerm,
    Term,
    Test,
    Unknown,
    asks_who_or_when,
    awaited_changes,
    parse,
    paths_of,
    resolve_query,
)
from midspan.records import Operation
from midspan.sandbox import Script
from midspan.scripting.rulepage import rule_condition, rule_script
from midspan.scripting.template import Copy, FieldValue, fields_set
from midspan.security import PROBE
from midspan.security.dynamic import KNOWN

SCRIPT_PREFIX = "javascript:"
LATE = 1000
"""Rules from this order on run after the engines."""
_FIXED = frozenset(
    {"sys_id", "sys_class_name", "sys_created_on", "sys_created_by", "sys_updated_on"}
    | {"sys_updated_by", "sys_mod_count"}
)
Time: TypeAlias = Literal["before", "after", "async", "display"]
_TIMES: dict[str, Time] = {
    "before": "before",
    "after": "after",
    "async": "async",
    "async_always": "async",
    "before_display": "display",
    "display": "display",
}
_CALLED: dict[Time, str] = {
    "before": "onBefore",
    "after": "onAfter",
    "async": "onAsync",
    "display": "onDisplay",
}
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_EMPTY_BODY = re.compile(r"\(function\w*\([^)]*\)\{;*\}\)\([^)]*\);*")
_SYS_ID = re.compile(r"[0-9a-fA-F]{32}")


class Setting(Struct, frozen=True, kw_only=True):
    """One field that a rule sets.

    Exactly one source counts: ``other`` is copied from the record itself, ``expression`` is a
    ``javascript:`` value of the session, else ``text`` is the constant wire text.
    """

    field: Field
    text: str = ""
    expression: str = ""
    other: FieldPath | None = None
    by_display: bool = False
    """``text`` names the referenced record by what people see, not by its sys_id."""


class Rule(Struct, frozen=True, kw_only=True):
    """An active rule, ready to run on records of ``table`` and its children."""

    sys_id: str
    name: str
    table: str
    time: Time
    order: int
    operations: frozenset[Operation]
    on_query: bool = False
    """It narrows queries; only with a script, and only where it runs before."""
    query: Query
    condition: Condition | None
    """The resolved condition; None where it depends on who does it and when."""
    awaited: frozenset[str] | None = None
    """Fields of which one has to change for the condition to hold; None where none has to."""
    reads: tuple[str, ...] | None = None
    """The fields that decide whether the condition holds; None where others' rows or time do."""
    roles: str = ""
    settings: tuple[Setting, ...] = ()
    abort: bool = False
    message: str = ""
    script: Script | None = None
    expression: Script | None = None
    """A condition in JavaScript, asked when the other one holds."""

    @property
    def before(self) -> bool:
        """Tell whether the rule runs before the record is stored."""
        return self.time == "before"

    @property
    def scripted(self) -> bool:
        """Tell whether the rule needs a script worker."""
        return self.script is not None or self.expression is not None

    @property
    def late(self) -> bool:
        """Tell whether the rule runs after the engines."""
        return self.order >= LATE

    @property
    def alone(self) -> bool:
        """Tell whether the rule looks at nothing but its own draft, as far as it has no script.

        What an after rule does without a script is a write of its own.
        """
        return (
            (self.before or not (self.settings or self.abort))
            and self.condition is not None
            and not _walks(self.condition)
            and not any(
                setting.by_display or (setting.other and len(setting.other.steps) > 1)
                for setting in self.settings
            )
        )


class RuleProblem(Struct, frozen=True):
    """A rule that does not run, and why."""

    sys_id: str
    name: str
    table: str
    message: str


def check_rule(dictionary: Dictionary, values: Mapping[str, str]) -> None:
    """Check a row of ``sys_script``, given as wire texts by field name.

    Its script is not looked at: table, condition and set fields are.

    Raises:
        InvalidDefinition: names the rule and what is wrong with it; the hint names what is near.
    """
    compile_rule(dictionary, values)


def script_of(values: Mapping[str, str]) -> str:
    """Return the script that a rule runs; ``''`` for none, or one without a statement."""
    if values.get("advanced") != "true":
        return ""
    script = values.get("script", "")
    bare = "".join(_COMMENT.sub("", script).split())
    return "" if not bare or _EMPTY_BODY.fullmatch(bare) else script


def expression_of(values: Mapping[str, str]) -> str:
    """Return the condition in JavaScript that a rule asks; ``''`` for none."""
    return values.get("condition", "").strip() if values.get("advanced") == "true" else ""


def scripts_of(values: Mapping[str, str]) -> tuple[Script | None, Script | None]:
    """Return the script and the condition of a rule as they are run."""
    place = f"sys_script.{values.get('sys_id', '')}"
    text, expression = script_of(values), expression_of(values)
    time = _TIMES.get(values.get("when") or "before", "before")
    called = _CALLED[time] if values.get("execute_function") == "true" else ""
    return (
        rule_script(f"{place}.script", text, calls=called) if text else None,
        rule_condition(f"{place}.condition", expression) if expression else None,
    )


def compile_rule(dictionary: Dictionary, values: Mapping[str, str]) -> Rule | None:
    """Return the rule of a row, or None for one that has nothing to do.

    Raises:
        InvalidDefinition: the rule cannot run.
    """
    name = values.get("name") or values.get("sys_id", "")
    try:
        return _compile(dictionary, values)
    except MidspanError as error:
        collection = values.get("collection", "")
        raise InvalidDefinition(
            f"Business rule {name!r} of {collection or 'no table'}: {error.message}",
            detail=error.detail,
            hint=error.hint,
        ) from error


def _compile(dictionary: Dictionary, values: Mapping[str, str]) -> Rule | None:
    when = values.get("when") or "before"
    if when not in _TIMES:
        raise InvalidDefinition(
            f"it runs {when!r}, which is no known time", hint=did_you_mean(when, _TIMES)
        )
    time = _TIMES[when]
    collection = values.get("collection", "")
    if collection in ("", "global"):
        return None
    table = dictionary.table(collection)
    query = parse(values.get("filter_condition", ""))
    condition, _ = resolve_query(dictionary, collection, query, Unknown.REFUSE, PROBE)
    settings = tuple(
        _setting(dictionary, table, given) for given in fields_set(values.get("template", ""))
    )
    abort = values.get("abort_action") == "true"
    message = values.get("message", "") if values.get("add_message") == "true" else ""
    operations = frozenset(
        operation for operation in Operation if values.get(f"action_{operation.value}") == "true"
    )
    script, expression = scripts_of(values)
    on_query = time == "before" and values.get("action_query") == "true" and script is not None
    if not (operations or on_query or time == "display"):
        return None
    if script is None and (time not in ("before", "after") or not (settings or abort or message)):
        return None
    return Rule(
        sys_id=values.get("sys_id", ""),
        name=values.get("name", ""),
        table=collection,
        time=time,
        order=int(values.get("order") or 0),
        operations=operations,
        on_query=on_query,
        query=query,
        condition=None if _is_dynamic(query.condition) else condition,
        awaited=None if _is_dynamic(query.condition) else awaited_changes(condition),
        reads=None if _is_dynamic(query.condition) else _read_by(condition),
        roles=values.get("role_conditions", ""),
        settings=settings,
        abort=abort,
        message=message,
        script=script,
        expression=expression,
    )


def _setting(dictionary: Dictionary, table: Table, given: FieldValue) -> Setting:
    field = _settable(table, given.field)
    if isinstance(given.value, Copy):
        other = dictionary.path(table.name, given.value.path)
        if other.field.storage is Storage.NONE and not other.field.kind.journal:
            raise InvalidDefinition(f"it copies {other.name}, which keeps no value")
        return Setting(field=field, other=other)
    text = given.value
    if text.startswith(SCRIPT_PREFIX):
        if PROBE(text) is None:
            raise InvalidDefinition(
                f"it sets {field.name} to {text!r}, which is no known expression",
                hint=f"Known are javascript:current.<field> and javascript: with one of "
                f"{', '.join(KNOWN)}.",
            )
        return Setting(field=field, expression=text)
    by_display = bool(text) and field.kind.reference and not _SYS_ID.fullmatch(text)
    return Setting(field=field, text=canonical(field, text), by_display=by_display)


def _settable(table: Table, name: str) -> Field:
    field = table.fields.get(name)
    if field is None:
        raise InvalidField(table.name, name, table.fields)
    if name in _FIXED or (field.storage is Storage.NONE and not field.kind.journal):
        raise InvalidDefinition(f"it sets {name}, which no rule may set")
    return field


def _is_dynamic(condition: Condition) -> bool:
    match condition:
        case And() | Or():
            return any(_is_dynamic(part) for part in condition.parts)
        case Term():
            return asks_who_or_when(condition)
        case RelatedTerm():
            return _is_dynamic(condition.query.condition)
        case _:
            return False


def _read_by(condition: Condition) -> tuple[str, ...] | None:
    """Return the fields of the record itself that a condition looks at, if it looks at no more."""
    if _walks(condition):
        return None
    return tuple(dict.fromkeys(path.name for path in paths_of(condition)))


def _walks(condition: Condition) -> bool:
    match condition:
        case And() | Or():
            return any(_walks(part) for part in condition.parts)
        case Test():
            return any(len(path.steps) > 1 for path in paths_of(condition))
        case _:
            return True
