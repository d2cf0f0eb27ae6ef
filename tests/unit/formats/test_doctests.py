"""The examples in the docstrings of ``midspan.formats`` are true."""

import doctest
import importlib
import pkgutil

import pytest

import midspan.formats

MODULES = [
    f"midspan.formats.{module.name}" for module in pkgutil.iter_modules(midspan.formats.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
