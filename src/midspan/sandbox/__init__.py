"""Runs JavaScript under time and memory limits in locked-down worker processes; knows no record.

``SandboxPool`` owns the processes, ``SandboxPool.session`` lends one to a thread for the time of a
transaction, ``SandboxSession.run`` evaluates a ``Script``. A script sees the language, what the
pool's prelude put on ``globalThis``, and nothing else: no files, network, timers, modules or
console. All it can do to the world goes through the ``Host`` function of its session.

What happens to a script is one of: a JSON value, or a ``ScriptError`` with script and line. The
instance is out of reach: the worker has no rights (``lockdown``), the pool owns the clock and
kills what does not stop, and what a worker sends is checked as if an enemy had sent it.
"""

from midspan.sandbox.errors import (
    Failure,
    SandboxUnavailable,
    ScriptCallsExceeded,
    ScriptCrashed,
    ScriptError,
    ScriptMemoryExceeded,
    ScriptSyntaxError,
    ScriptTimeout,
)
from midspan.sandbox.jsontext import prepared
from midspan.sandbox.pool import PoolOptions, PoolStats, SandboxPool
from midspan.sandbox.session import SandboxSession
from midspan.sandbox.values import Host, JsonValue, Limits, Script

__all__ = [
    "Failure",
    "Host",
    "JsonValue",
    "Limits",
    "PoolOptions",
    "PoolStats",
    "SandboxPool",
    "SandboxSession",
    "SandboxUnavailable",
    "Script",
    "ScriptCallsExceeded",
    "ScriptCrashed",
    "ScriptError",
    "ScriptMemoryExceeded",
    "ScriptSyntaxError",
    "ScriptTimeout",
    "prepared",
]
