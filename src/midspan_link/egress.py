"""Which addresses may be connected to; checked on the resolved address, at connect time."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from midspan_link.errors import EgressRefused, InvalidRule, PeerUnavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(
    r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\Z"
)
# Addresses that are global by registry and lead to a cloud's own metadata or control service.
_CONTROL = (ipaddress.ip_address("168.63.129.16"),)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class EgressRule(Struct, frozen=True):
    """Allow a host name (``*.`` for all below it) or a network, on some ports or (empty) on all."""

    host: str = ""
    network: str = ""
    ports: tuple[tuple[int, int], ...] = ()

    def allows_port(self, port: int) -> bool:
        """Tell whether the rule speaks about this port."""
        return not self.ports or any(low <= port <= high for low, high in self.ports)

    def names(self, host: str) -> bool:
        """Tell whether the rule is about this name, compared without case and final dot."""
        name = _fold(host)
        if self.host.startswith("*."):
            return name.endswith(self.host[1:])
        return bool(self.host) and name == self.host

    def holds(self, address: Address) -> bool:
        """Tell whether the rule's network holds the address."""
        return bool(self.network) and address in ipaddress.ip_network(self.network)


class EgressRules(Struct, frozen=True):
    """Rules beside a default: ``public`` allows every global address, ``none`` only the listed.

    A rule with a host name allows whatever the name resolves to, private and loopback included, but
    never link-local, multicast, unspecified or cloud control addresses: those need a rule with the
    address itself.
    """

    rules: tuple[EgressRule, ...] = ()
    default: Literal["public", "none"] = "public"

    @classmethod
    def parse(
        cls, lines: Sequence[str], *, default: Literal["public", "none"] = "public"
    ) -> EgressRules:
        """Read rules like ``db.corp:5432``, ``*.corp:443,8000-8100``, ``[fd00::]/8:443``.

        Raises:
            InvalidRule: a line that is none of these; the message quotes it.
        """
        return cls(tuple(parse_rule(line) for line in lines), default)

    def allows(self, host: str, port: int, address: Address) -> bool:
        """Tell whether ``host``, which resolved to ``address``, may be connected to on ``port``."""
        plain = unwrap(address)
        speaking = [rule for rule in self.rules if rule.allows_port(port)]
        if any(rule.holds(plain) or rule.holds(address) for rule in speaking):
            return True
        if is_control(plain):
            return False
        if any(rule.names(host) for rule in speaking):
            return True
        return self.default == "public" and plain.is_global


def parse_rule(line: str) -> EgressRule:
    """Read one rule.

    >>> parse_rule("10.0.0.0/8:443,8000-8100")
    EgressRule(host='', network='10.0.0.0/8', ports=((443, 443), (8000, 8100)))

    Raises:
        InvalidRule: it is no host, network or address with optional ports.
    """
    text = line.strip()
    target, ports = _split_ports(text)
    network = _network(target)
    if network is not None:
        return EgressRule(network=str(network), ports=_ports(ports, line))
    host = _fold(target)
    if len(host) > 253 or not _HOST.match(host):
        raise InvalidRule(
            f"{line!r} is no egress rule",
            hint="Write host:port, *.domain:port or network/bits:port.",
        )
    return EgressRule(host=host, ports=_ports(ports, line))


def unwrap(address: Address) -> Address:
    """Return the IPv4 address inside a mapped, 6to4, Teredo or NAT64 address, else the address.

    >>> unwrap(ipaddress.ip_address("::ffff:127.0.0.1"))
    IPv4Address('127.0.0.1')
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def is_control(address: Address) -> bool:
    """Tell whether an address is link-local, multicast, unspecified or a control service."""
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.is_reserved and not address.is_loopback)
        or address in _CONTROL
        or str(address) in ("100.100.100.200", "192.0.0.192", "fd00:ec2::254")
    )


class Resolver(Protocol):
    """Turns a name into addresses; replaceable in tests."""

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return numeric addresses, preferred first.

        Raises:
            OSError: the name is unknown or the resolver does not answer.
        """
        ...


async def system_resolver(host: str, port: int) -> list[str]:
    """Ask the operating system; each address once, in its order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


async def checked_addresses(
    rules: EgressRules, host: str, port: int, resolver: Resolver = system_resolver
) -> list[str]:
    """Resolve ``host`` once and return its addresses, when **each** of them is allowed.

    One refused address refuses the name: a mixed answer is how rebinding begins.

    Raises:
        EgressRefused: an address that no rule allows; the message names host, address and port.
        PeerUnavailable: the name cannot be resolved.
    """
    try:
        found = [str(ipaddress.ip_address(host.strip("[]")))]
    except ValueError:
        try:
            found = await resolver(host, port)
        except OSError as error:
            raise PeerUnavailable(f"The name {host} cannot be resolved: {error}") from None
    if not found:
        raise PeerUnavailable(f"The name {host} has no address")
    for text in found:
        if not rules.allows(host, port, ipaddress.ip_address(text)):
            raise EgressRefused(
                f"A connection to {host} port {port} ({text}) is not allowed",
                hint=f"Add an egress rule such as {host}:{port} where that is wanted.",
            )
    return found


def _split_ports(text: str) -> tuple[str, str]:
    if text.startswith("["):
        inner, _, rest = text[1:].partition("]")
        bits, _, ports = rest.partition(":")
        return inner + bits, ports
    if text.count(":") > 1:
        return text, ""
    target, _, ports = text.partition(":")
    return target, ports


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _ports(text: str, line: str) -> tuple[tuple[int, int], ...]:
    if not text or text == "*":
        return ()
    ranges: list[tuple[int, int]] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not (low.isdigit() and (high.isdigit() or not dash)):
            raise InvalidRule(f"{line!r} has the port {part!r}", hint="Write 443 or 8000-8100.")
        first, last = int(low), int(high or low)
        if not 1 <= first <= last <= 65535:
            raise InvalidRule(f"{line!r} has ports outside 1-65535 or in the wrong order")
        ranges.append((first, last))
    return tuple(ranges)


def _fold(host: str) -> str:
    return host.lower().rstrip(".")
