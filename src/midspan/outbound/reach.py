"""Does anybody answer where a connection leads? One TCP connection, nothing is sent."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import urlsplit

from midspan.kernel.errors import Unavailable
from midspan.outbound.connection import Connection
from midspan.outbound.outbound import Outbound
from midspan_link.egress import EgressRules, checked_addresses

WITHIN = timedelta(seconds=3)


def reach(outbound: Outbound, connection: Connection) -> None:
    """Open and close a connection to a peer, under the rules of the guard.

    What an agent carries is left alone: only the agent could tell.

    Raises:
        Unavailable: nobody answers within three seconds.
        EgressRefused, PeerUnavailable: as the guard says.
    """
    if connection.mid_server:
        return
    outbound.run(_opened(outbound.rules(), connection))


async def _opened(rules: EgressRules, connection: Connection) -> None:
    parts = urlsplit(connection.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(WITHIN.total_seconds()):
            (address, *_) = await checked_addresses(rules, host, port)
            _, writer = await asyncio.open_connection(address, port)
            writer.close()
    except (OSError, TimeoutError) as error:
        raise Unavailable(
            f"Nobody answers at {connection.origin}",
            detail=str(error) or type(error).__name__,
            hint="Is the address right, does the program run, does a firewall let the call pass?",
        ) from error
