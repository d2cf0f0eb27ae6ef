"""The examples in the docstrings of ``midspan.attachments`` are true."""

import doctest

from midspan.attachments import file


def test_examples() -> None:
    result = doctest.testmod(file)
    assert result.attempted > 4
    assert result.failed == 0
