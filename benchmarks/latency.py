"""From cause to effect in the demo's own set-up: alert to incident, approval to chat message.

Spaced events come one after the other; a burst is sent by ``SENDERS`` connections at once. An
alert's time is that of its whole request, whose answer follows the commit. A message's time goes
from the moment the approval is sent to the receiver's own note of the arrival.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path

import httpx
import processes

from midspan.demo import alerts, approval
from midspan.demo.run import staged
from midspan.demo.scenario import Stage, wait_for

SENDERS = 16
WARM_UP = 5
GAP = 0.1
"""Seconds between the starts of spaced events, or longer when one takes longer."""
ALERT, MESSAGE = "alert to incident", "approval to message"
LIMIT = 180.0
"""Seconds after which effects count as lost."""
TARGETS = {ALERT: 200.0, MESSAGE: 1000.0}
"""Milliseconds that 95 of 100 events may take."""


@dataclass(frozen=True)
class Latency:
    """The times of one kind of event, in milliseconds, in the order the events were sent."""

    what: str
    way: str
    """``spaced`` or ``burst``."""
    times: list[float]
    calibration: float
    """Milliseconds of the slower of the loops just before and just after."""

    @property
    def held(self) -> bool:
        """Tell whether the target was met."""
        return percentile(self.times, 95) <= TARGETS[self.what]


def percentile(values: Sequence[float], share: int) -> float:
    """Return the smallest value that at least ``share`` of 100 values do not exceed.

    >>> percentile([5.0, 1.0, 3.0, 2.0, 4.0], 50), percentile([1.0, 2.0], 95)
    (3.0, 2.0)
    """
    return sorted(values)[ceil(len(values) * share / 100) - 1]


def measure(events: int) -> list[Latency]:
    """Return the times of ``events`` spaced and as many bursting events of both kinds."""
    with (
        tempfile.TemporaryDirectory(prefix="midspan-latency-") as folder,
        staged(Path(folder) / "demo") as stage,
    ):
        _alerts(stage, _spaced, [f"warm-{number}" for number in range(WARM_UP)])
        _messages(stage, _spaced, WARM_UP)
        found = []
        for way, send in (("spaced", _spaced), ("burst", _burst)):
            marks = [f"{way}-{number}" for number in range(events)]
            alerted = partial(_alerts, stage, send, marks)
            found.append(_quietly(stage, ALERT, way, alerted))
            found.append(_quietly(stage, MESSAGE, way, partial(_messages, stage, send, events)))
    return found


def _quietly(stage: Stage, what: str, way: str, run: Callable[[], list[float]]) -> Latency:
    """Measure once the work that earlier events caused has ended."""

    def idle() -> bool:
        return stage.admin.count("sys_flow_context", "stateINQUEUED,IN_PROGRESS") == 0

    wait_for(idle, "flow runs of earlier events do not end", patience=LIMIT)
    before = processes.calibrate()
    times = run()
    return Latency(what, way, times, max(before, processes.calibrate()))


def report(latencies: Sequence[Latency]) -> str:
    """Return a Markdown table with one row for each kind of event and way."""
    lines = [
        "| from cause to effect | events | p50 ms | p95 ms | max ms | p95 target | held |"
        " calib ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in latencies:
        p50, p95 = percentile(each.times, 50), percentile(each.times, 95)
        lines.append(
            f"| {each.what} | {len(each.times)} {each.way} | {p50:.0f} | {p95:.0f} |"
            f" {max(each.times):.0f} | {TARGETS[each.what]:.0f} |"
            f" {'yes' if each.held else 'NO'} | {each.calibration:.0f} |"
        )
    return "\n".join(lines)


Cause = Callable[[], float]
"""Does something and returns a time in milliseconds."""
Sender = Callable[[Sequence[Cause]], list[float]]


def _spaced(causes: Sequence[Cause]) -> list[float]:
    times = []
    for cause in causes:
        started = time.perf_counter()
        times.append(cause())
        time.sleep(max(0.0, started + GAP - time.perf_counter()))
    return times


def _burst(causes: Sequence[Cause]) -> list[float]:
    with ThreadPoolExecutor(SENDERS) as senders:
        return list(senders.map(lambda cause: cause(), causes))


def _alerts(stage: Stage, send: Sender, marks: Iterable[str]) -> list[float]:
    def cause(mark: str) -> float:
        body = alerts.alert("firing", mark)
        started = time.perf_counter()
        stage.monitoring.send("POST", alerts.SERVICE, 201, json=body)
        return (time.perf_counter() - started) * 1000

    return send([partial(cause, mark) for mark in marks])


def _messages(stage: Stage, send: Sender, events: int) -> list[float]:
    """Approve new changes; return how long after it each message arrived."""
    made = [stage.admin.make("change_request", approval.CHANGE) for _ in range(events)]

    def cause(sys_id: str) -> float:
        path = f"/api/now/table/change_request/{sys_id}"
        sent = datetime.now(UTC).timestamp()
        stage.admin.send("PATCH", path, 200, json={"approval": "approved"})
        return sent

    sent = send([partial(cause, each["sys_id"]) for each in made])
    numbers = [each["number"] for each in made]

    def arrived() -> dict[str, float]:
        came = _arrivals(stage.chat)
        return came if came.keys() >= set(numbers) else {}

    came = wait_for(arrived, f"not all of {events} messages came", patience=LIMIT)
    return [(came[number] - start) * 1000 for number, start in zip(numbers, sent, strict=True)]


def _arrivals(chat: str) -> dict[str, float]:
    """Return when the message about each change was received, in seconds since 1970."""
    stored = httpx.get(f"{chat}/messages", timeout=30).json()["messages"]
    return {
        entry["text"].split()[1]: datetime.fromisoformat(entry["time"]).timestamp()
        for entry in stored
        if entry["text"].startswith("Change ")
    }


if __name__ == "__main__":
    measured = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
    print(report(measured))
    print(json.dumps([asdict(each) for each in measured]))
