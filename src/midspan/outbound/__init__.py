"""The one way out: connections, credentials, transports with egress guard and log."""

from midspan.outbound.call import CallSource
from midspan.outbound.connection import Connection, find_connection, known_connections, resolve
from midspan.outbound.outbound import ALLOW, AgentRoute, Outbound

__all__ = [
    "ALLOW",
    "AgentRoute",
    "CallSource",
    "Connection",
    "Outbound",
    "find_connection",
    "known_connections",
    "resolve",
]
