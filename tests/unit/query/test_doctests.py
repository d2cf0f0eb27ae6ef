"""The examples in the docstrings of ``midspan.query`` are true."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["comparison", "moments", "parse"])
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"midspan.query.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
