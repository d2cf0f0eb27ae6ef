"""Host calls behind ``sn_cmdb.IdentificationEngine``: payloads of scripts, answers as JSON text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from midspan.cmdb.answer import answer_of
from midspan.cmdb.engine import IdentificationEngine
from midspan.cmdb.options import BASIC, Options, options_of
from midspan.cmdb.payload import read_payload
from midspan.formats import lenient_json
from midspan.scripting import Unit


class EngineCalls:
    """Answers the ``cmdb.`` calls of one session, with the rights of the platform."""

    def __init__(self, unit: Unit, engine: IdentificationEngine) -> None:
        self._unit = unit
        self._engine = engine

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {"cmdb.take": self.take}

    def take(self, source: str, text: str, pairs: list[list[str]] | None, dry: bool) -> str:
        """Hand a payload to the engine; with ``pairs`` of options it is an enhanced one.

        Raises:
            MalformedBody: the text is no payload.
            InvalidRequest: an option has another name, or is neither true nor false.
        """
        options: Options = BASIC if pairs is None else options_of(dict(pairs))
        payload = read_payload(lenient_json.parse(text.encode()))
        lend = self._unit.reading if dry else self._unit.writing
        with lend(enforce=False) as transaction:
            outcome = self._engine.take(transaction, payload, source, options, dry=dry)
        return lenient_json.dumps(answer_of(outcome)).decode()
