"""How long a test waits for something that has to come."""

from __future__ import annotations

GUARD = 180.0
"""Seconds after which a test that hangs fails. No promise about speed: a busy machine takes its
time, and httpx gives up after five seconds where nobody says otherwise."""
