"""The end of a job: what its rows say, the input that answers it, and the sensor that is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from midspan.dictionary.values import datetime_text
from midspan.ecc.message import Answer, Sensor
from midspan.kernel.errors import InvalidDefinition, MidspanError
from midspan.records import Record, RecordTransaction, insert, update
from midspan_link.errors import LinkError
from midspan_link.parameters import read_parameters

TABLE = "ecc_queue"
_ECHOED = ("agent", "topic", "name", "source", "agent_correlator", "mid_server", "priority")

_log = logging.getLogger(__name__)


class Endings:
    """Ends jobs in the caller's transaction; ``sequence`` gives the ordering value of an input."""

    def __init__(self, sequence: Callable[[datetime], str]) -> None:
        self._sequence = sequence
        self._sensors: dict[str, Sensor] = {}

    def register(self, topic: str, sensor: Sensor) -> None:
        """Tell a sensor about the end of every job of a topic.

        Raises:
            InvalidDefinition: the topic has a sensor already.
        """
        if topic in self._sensors:
            raise InvalidDefinition(f"The topic {topic} has a sensor already")
        self._sensors[topic] = sensor

    def end(
        self, transaction: RecordTransaction, answer: Answer, facts: dict[str, str], *, payload: str
    ) -> None:
        """Write the end of a job and its input, then tell the sensor."""
        output = answer.output
        ended = {
            "state": answer.state,
            "processed": datetime_text(transaction.now),
            "error_code": answer.error_code,
            "error_string": answer.error_string[:4000],
        }
        transaction.apply(update(TABLE, output.sys_id, {**facts, **ended}))
        sensor = self._sensors.get(output.get("topic"))
        if sensor is not None and _skips_sensor(output):
            sensor = None
        if answer.input_id:
            self._write_input(transaction, answer, payload, sensed=sensor is not None)
        if sensor is not None:
            self._tell(transaction, sensor, answer)

    def _write_input(
        self, transaction: RecordTransaction, answer: Answer, payload: str, *, sensed: bool
    ) -> None:
        output = answer.output
        values = {name: output.get(name) for name in _ECHOED}
        values |= {
            "queue": "input",
            "state": "processed" if sensed else "ready",
            "processed": datetime_text(transaction.now) if sensed else "",
            "response_to": output.sys_id,
            "payload": payload,
            "sequence": self._sequence(transaction.now),
            "error_code": answer.error_code,
            "error_string": answer.error_string[:4000],
        }
        transaction.apply(insert(TABLE, values, sys_id=answer.input_id))

    def _tell(self, transaction: RecordTransaction, sensor: Sensor, answer: Answer) -> None:
        try:
            with transaction.database.savepoint():
                sensor(transaction, answer)
        except MidspanError as error:
            _log.exception("the sensor of %s failed", answer.output.get("topic"))
            if answer.input_id:
                text = f"The sensor failed: {error.explain()}"[:4000]
                values = {"state": "error", "error_string": text}
                transaction.apply(update(TABLE, answer.input_id, values))


def _skips_sensor(output: Record) -> bool:
    try:
        return read_parameters(output.get("payload")).get("skip_sensor", "").lower() == "true"
    except LinkError:
        return False
