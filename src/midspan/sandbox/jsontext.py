"""JSON as it crosses to a worker: fast where it can be, exact where JavaScript is odd."""

from __future__ import annotations

import json
from typing import cast

import orjson

from midspan.sandbox.values import JsonValue

_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def encode(value: JsonValue) -> bytes:
    """Return ``value`` as JSON text in UTF-8; lone surrogates are escaped, NaN becomes null.

    Raises:
        TypeError: something in it is no JSON value, or it is nested too deeply.
    """
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        pass  # a lone surrogate, an integer over 64 bits, a str subclass; or truly not JSON
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise TypeError(f"not a JSON value: {error}") from error


def prepared(value: JsonValue) -> JsonValue:
    """Return a value that ``encode`` takes as it is; it cannot be looked into.

    Raises:
        TypeError: as for ``encode``.
    """
    return cast(JsonValue, orjson.Fragment(encode(value)))


def decode(text: bytes) -> JsonValue:
    """Return the value of JSON ``text``; escaped lone surrogates stay what they are.

    Raises:
        ValueError: it is not JSON, or nested too deeply to be held.
    """
    try:
        return cast(JsonValue, orjson.loads(text))
    except orjson.JSONDecodeError:
        pass  # orjson refuses lone surrogates and more than 1,024 levels
    try:
        return cast(JsonValue, json.loads(text))
    except RecursionError as error:
        raise ValueError("the value is nested too deeply") from error
