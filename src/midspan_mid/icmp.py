"""One ICMP echo request, unprivileged where the kernel allows it."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import struct
import time

from midspan_sdk import ActionError

_REQUEST_V4, _REPLY_V4 = 8, 0
_REQUEST_V6, _REPLY_V6 = 128, 129


async def ping(address: str, timeout: float) -> float | None:  # noqa: ASYNC109 - seconds to wait for the reply
    """Return the round trip in seconds, or None without a reply in ``timeout`` seconds.

    Raises:
        ActionError: this process may not send echo requests.
    """
    version = ipaddress.ip_address(address).version
    loop = asyncio.get_running_loop()
    with _open(version) as channel:
        channel.setblocking(False)
        token = os.urandom(16)
        begun = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                await loop.sock_sendto(channel, _echo(version, token), (address, 0))
                while True:
                    data = await loop.sock_recv(channel, 2048)
                    if _is_reply(data, version, token):
                        return time.monotonic() - begun
        except (TimeoutError, OSError):
            return None


def _open(version: int) -> socket.socket:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(family, kind, protocol)
        except PermissionError:
            continue
        except OSError as error:
            raise ActionError("ping.unsupported", f"No ICMP here: {error}") from None
    raise ActionError(
        "ping.not_permitted",
        "The agent's user may not send echo requests",
        detail="Set net.ipv4.ping_group_range to include the agent's group",
    )


def _echo(version: int, token: bytes) -> bytes:
    kind = _REQUEST_V4 if version == 4 else _REQUEST_V6
    head = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, 1)
    return struct.pack("!BBHHH", kind, 0, _checksum(head + token), os.getpid() & 0xFFFF, 1) + token


def _is_reply(data: bytes, version: int, token: bytes) -> bool:
    """Find our token behind an optional IPv4 header, which raw sockets deliver too."""
    reply = _REPLY_V4 if version == 4 else _REPLY_V6
    skip = (data[0] & 0x0F) * 4 if version == 4 and data and data[0] >> 4 == 4 else 0
    return len(data) >= skip + 8 and data[skip] == reply and data[skip + 8 :].startswith(token)


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return int(~(total + (total >> 16)) & 0xFFFF)
