"""Turns what a flow or a job gives, often text, into the declared struct of an action or probe."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

import msgspec
from msgspec import Struct

from midspan_sdk.errors import InvalidInputs, did_you_mean
from midspan_sdk.fields import InputField, fields_of

S = TypeVar("S", bound=Struct)

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)


def convert_inputs(owner: str, raw: Mapping[str, Any], kind: type[S]) -> S:
    """Return ``raw`` as a ``kind``; ``owner`` names the action or probe in messages.

    Text is read as the field's type; JSON text becomes an object or an array where the field is
    one. An empty text for a field that is not text, and None where the field cannot be empty,
    count as "not given", so the default applies.

    Raises:
        InvalidInputs: naming the field, what was expected, and the nearest name if unknown.
    """
    fields = {field.name: field for field in fields_of(kind)}
    given: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in fields:
            hint = did_you_mean(str(name), fields)
            raise InvalidInputs(f"{owner} has no input {name!r}. {hint}", field=str(name))
        if not _left_out(fields[name], value):
            given[name] = _read(owner, fields[name], value)
    missing = [name for name, field in fields.items() if field.required and name not in given]
    if missing:
        wanted = ", ".join(f"{name!r} ({fields[name].type})" for name in missing)
        raise InvalidInputs(f"{owner} needs input {wanted}", field=missing[0])
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(owner, str(error)) from None


def declared_types(
    function: Callable[..., Any], parameter: str, decorator: str
) -> tuple[type[Struct], type[Struct]]:
    """Return the struct types of the first parameter and of the result of ``function``.

    Raises:
        TypeError: it is not ``async def f(<parameter>: Struct, ctx) -> Struct``.
    """
    wanted = (
        f"@{decorator} {function.__module__}.{function.__name__}: expected "
        f"`async def {function.__name__}({parameter}: <Struct>, ctx) -> <Struct>`"
    )
    names = list(inspect.signature(function).parameters)
    if not inspect.iscoroutinefunction(function) or len(names) != 2:
        raise TypeError(wanted)
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"{wanted}; {error}: import it at run time, too") from None
    pair = (hints.get(names[0]), hints.get("return"))
    for each in pair:
        if not (isinstance(each, type) and issubclass(each, Struct)):
            raise TypeError(f"{wanted}, got {each!r}")
        fields_of(each)
    return pair  # type: ignore[return-value]  # both were checked to be Struct types


def summary_of(function: Callable[..., Any]) -> str:
    """Return the first line of the docstring of ``function``, or else of its module."""
    text = function.__doc__ or function.__globals__.get("__doc__") or ""
    return text.strip().split("\n", 1)[0]


def _left_out(field: InputField, value: Any) -> bool:
    if value is None:
        return not field.nullable
    return value == "" and isinstance(value, str) and field.type not in {"string", "json"}


def _read(owner: str, field: InputField, value: Any) -> Any:
    structured = field.type == "object" or field.type.startswith("array.")
    if not structured or not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise InvalidInputs(
            f"{owner}: input {field.name!r} expects {field.type} as JSON, got text that is none",
            field=field.name,
            detail=str(error),
        ) from None


def _explained(owner: str, text: str) -> InvalidInputs:
    match = _PLACE.match(text)
    path = (match["path"] if match else "") or ""
    what = (match["what"] if match else text).replace("`", "")
    field = re.split(r"[.\[]", path, maxsplit=1)[0]
    place = f"input {path!r}" if path else "inputs"
    return InvalidInputs(f"{owner}: {place}: {what}", field=field)
