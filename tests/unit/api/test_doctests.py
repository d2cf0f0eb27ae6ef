"""The examples in the docstrings of ``midspan.api`` are true."""

import doctest
import importlib
import pkgutil

import pytest

import midspan.api

MODULES = [f"midspan.api.{module.name}" for module in pkgutil.iter_modules(midspan.api.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
