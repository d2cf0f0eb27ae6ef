"""The local allow list: which addresses a job may name. Only the local administrator widens it."""

from __future__ import annotations

import fnmatch
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence

from msgspec import Struct

from midspan_link.databases.target import DatabaseTarget
from midspan_link.egress import EgressRule, EgressRules, parse_rule
from midspan_link.errors import InvalidRule
from midspan_sdk import RetryLater, TargetNotAllowed

Resolve = Callable[[str, int], list[str]]


def system_resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name from the operating system; blocking.

    Raises:
        RetryLater: the name cannot be resolved now.
    """
    try:
        found = socket.getaddrinfo(host, port or None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RetryLater(f"The name {host} cannot be resolved: {error}") from None
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


class AllowList(Struct, frozen=True):
    """Rules for hosts, socket directories and database files; ``file`` is named in refusals."""

    network: EgressRules
    sockets: tuple[str, ...]
    files: tuple[str, ...]
    file: str

    @classmethod
    def parse(cls, lines: Sequence[str], file: str) -> AllowList:
        """Read the lines of ``allow``.

        Raises:
            InvalidRule: a line that is no rule.
        """
        rules: list[EgressRule] = []
        sockets: list[str] = []
        files: list[str] = []
        for line in lines:
            kind, _, path = line.partition(":")
            if kind not in ("unix", "sqlite"):
                rules.append(parse_rule(line))
            elif not path.startswith("/"):
                raise InvalidRule(f"{line!r} needs an absolute path")
            else:
                (sockets if kind == "unix" else files).append(path)
        return cls(EgressRules(tuple(rules), "none"), tuple(sockets), tuple(files), file)

    def widened_by(self, target: DatabaseTarget) -> AllowList:
        """Return the rules for a target that the local administrator named himself."""
        return AllowList.parse([target.place], self.file)

    def addresses(self, host: str, port: int, resolve: Resolve = system_resolve) -> list[str]:
        """Resolve once and return addresses when each is allowed; port 0 asks about any port.

        Raises:
            TargetNotAllowed: names target and file.
            RetryLater: the name cannot be resolved.
        """
        if not self._may_be_named(host, port):
            raise self._refusal(f"{host}:{port}" if port else host)
        try:
            found = [str(ipaddress.ip_address(host.strip("[]")))]
        except ValueError:
            found = resolve(host, port)
        for text in found:
            if not self._allows(host, port, text):
                place = f"{host}:{port}" if port else host
                raise self._refusal(place if text == host else f"{place} ({text})")
        return found

    def check_file(self, path: str) -> None:
        """Return when the file, with links followed, is allowed.

        Raises:
            TargetNotAllowed: names target and file.
        """
        real = os.path.realpath(path)
        if not any(_matches(real, pattern) for pattern in self.files):
            raise self._refusal(f"sqlite:{path}")

    def check_socket(self, directory: str) -> None:
        """Return when the socket directory is allowed.

        Raises:
            TargetNotAllowed: names target and file.
        """
        if directory not in self.sockets:
            raise self._refusal(f"unix:{directory}")

    def _may_be_named(self, host: str, port: int) -> bool:
        """Tell whether any rule could hold, before the name service learns what was asked."""
        speaking = [rule for rule in self.network.rules if not port or rule.allows_port(port)]
        return any(rule.network or rule.names(host) for rule in speaking)

    def _allows(self, host: str, port: int, address: str) -> bool:
        plain = ipaddress.ip_address(address)
        if port:
            return self.network.allows(host, port, plain)
        bare = tuple(EgressRule(rule.host, rule.network) for rule in self.network.rules)
        return EgressRules(bare, "none").allows(host, 1, plain)

    def _refusal(self, target: str) -> TargetNotAllowed:
        return TargetNotAllowed(
            f"The target {target} is not allowed by this agent",
            detail=f"To allow it, add it to 'allow' in {self.file} and restart the agent",
        )


def _matches(path: str, pattern: str) -> bool:
    """Match a path; ``*`` stays within one directory."""
    pattern = os.path.join(os.path.realpath(os.path.dirname(pattern)), os.path.basename(pattern))  # noqa: PTH118, PTH119, PTH120 - text with wildcards, not a path
    if path.count("/") != pattern.count("/"):
        return False
    return fnmatch.fnmatchcase(path, pattern)
