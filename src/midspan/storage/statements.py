"""Fixed SQL lives in ``.sql`` files beside the package that runs it, one named statement each."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from midspan.storage.dialect import Dialect

_FOLD = re.compile(r"\bfold\(([^()]+)\)")


@cache
def load_statements(package: str, file: str) -> dict[str, str]:
    """Return the statements of ``<package>/sql/<file>.sql`` by their ``-- name:`` lines."""
    text = resources.files(package).joinpath("sql", f"{file}.sql").read_text()
    found: dict[str, str] = {}
    for part in text.split("-- name:")[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = body.strip().rstrip(";")
    return found


class Statements:
    """The statements of one file in the words of one dialect."""

    def __init__(self, package: str, file: str, dialect: Dialect) -> None:
        self._statements = {
            name: _FOLD.sub(lambda match: dialect.fold(match[1]), sql)
            for name, sql in load_statements(package, file).items()
        }

    def __getitem__(self, name: str) -> str:
        return self._statements[name]
