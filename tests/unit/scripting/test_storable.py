"""The examples of the texts that databases can keep."""

from __future__ import annotations

import doctest

from midspan.scripting import storable


def test_examples_in_docstrings() -> None:
    result = doctest.testmod(storable)
    assert result.attempted > 0
    assert result.failed == 0
