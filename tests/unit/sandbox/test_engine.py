"""The engine inside a worker: what it does where the parent cannot see it."""

from __future__ import annotations

import os

import _quickjs  # type: ignore[import-not-found, unused-ignore]
import pytest

from midspan.sandbox.engine import Interrupts


def test_a_script_lets_others_run_each_time_the_engine_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seldom enough to cost nothing, often enough that nobody waits for a tick of the kernel."""
    given: list[None] = []
    monkeypatch.setattr(os, "sched_yield", lambda: given.append(None))
    interrupts, context = Interrupts(), _quickjs.Context()
    interrupts.install(context)
    context.eval("for (let i = 0; i < 1e6; i++);")
    assert 50 <= len(given) <= 1_000
