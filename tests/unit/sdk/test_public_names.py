"""Pins what authors may import: a change here is a change of the contract."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import sys
from pathlib import Path

import pytest

import midspan_sdk
import midspan_sdk.spoke
import midspan_sdk.testing

NAMES = [
    "Action",
    "ActionContext",
    "ActionError",
    "ActionHttp",
    "Annotated",
    "BlockWriter",
    "Column",
    "ConnectionInfo",
    "Headers",
    "HttpReply",
    "HttpRequest",
    "HttpTransport",
    "InputField",
    "InvalidInputs",
    "InvalidSpoke",
    "Log",
    "Meta",
    "OutcomeUnknown",
    "Probe",
    "ProbeContext",
    "Repeat",
    "RequestOptions",
    "RetryLater",
    "RetryPolicy",
    "SdkError",
    "Secret",
    "SignInAgain",
    "Struct",
    "Target",
    "TargetNotAllowed",
    "action",
    "field",
    "fields_of",
    "probe",
    "schema_of",
]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FOLDER = Path(midspan_sdk.__file__).parent


def _public_definitions() -> list[tuple[str, Definition]]:
    found: list[tuple[str, Definition]] = []
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            if not node.name.startswith("_") and node.name not in {"decorate", "receive", "send"}:
                found.append((f"{path.name}:{node.name}", node))
    return found


def test_names_are_pinned() -> None:
    assert sorted(midspan_sdk.__all__) == sorted(NAMES)
    assert all(hasattr(midspan_sdk, name) for name in NAMES)


def test_everything_public_has_a_docstring() -> None:
    definitions = _public_definitions()
    assert len(definitions) > 60
    assert [name for name, node in definitions if not ast.get_docstring(node)] == []


def test_only_msgspec_and_the_standard_library_are_imported() -> None:
    imported = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"msgspec", "midspan_sdk"}


def test_signatures_that_others_build_on() -> None:
    assert str(inspect.signature(midspan_sdk.HttpTransport.send)) == (
        "(self, request: 'HttpRequest') -> 'HttpReply'"
    )
    assert list(inspect.signature(midspan_sdk.ActionContext).parameters) == [
        "http",
        "log",
        "connection",
    ]
    assert list(inspect.signature(midspan_sdk.action).parameters) == [
        "title",
        "repeat",
        "description",
        "retry",
    ]


@pytest.mark.parametrize("name", ["errors", "http", "retry"])
def test_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"midspan_sdk.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
