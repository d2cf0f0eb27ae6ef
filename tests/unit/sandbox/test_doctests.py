"""The examples in the docstrings of the sandbox run."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from midspan.sandbox import Script, pool, stacks


@pytest.mark.parametrize("module", [pool, stacks], ids=["pool", "stacks"])
def test_examples(module: ModuleType) -> None:
    names = {"Script": Script}
    failed, tried = doctest.testmod(module, extraglobs=names)
    assert tried > 0
    assert failed == 0
