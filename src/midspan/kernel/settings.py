"""How a node is started; values from the command line and the environment, checked once."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Settings(Struct, frozen=True, kw_only=True):
    """What an instance is told at its start."""

    data: Path
    """Directory of everything the instance keeps on this machine."""
    database: str = ""
    """``postgresql://…``; empty keeps records in SQLite under ``data``."""
    ephemeral: bool = False
    """Throw-away: durability is traded for speed."""
    allow_reset: bool = False
    """Let administrators go back to saved states, as an ephemeral instance does."""
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = ""
    behind_proxy: bool = False
    """Trust X-Forwarded-* of the peer."""
    client_cert_header: str = ""
    """Header in which ``trusted_proxies`` hand on the certificate of a client."""
    trusted_proxies: str = ""
    """Addresses, ranges and networks, comma-separated."""
    threads: int = 8
    script_workers: int = 2
    egress: str = ""
    """Extra allowed destinations of outbound calls: ``host:port`` or networks, comma-separated."""
