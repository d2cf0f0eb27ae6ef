"""Turns what a job names, a target of ``mid.yaml`` or a URL, into a checked ``Target``."""

from __future__ import annotations

from collections.abc import Mapping

from midspan_link.databases.target import DatabaseTarget, parse_target
from midspan_link.errors import LinkError, did_you_mean
from midspan_mid.access import AllowList, Resolve, system_resolve
from midspan_mid.config import NamedTarget, password_of
from midspan_mid.home import Home
from midspan_sdk import InvalidInputs, Secret, Target, TargetNotAllowed


class Targets:
    """The named targets of one agent and its allow list."""

    def __init__(
        self,
        home: Home,
        named: Mapping[str, NamedTarget],
        allow: AllowList,
        resolve: Resolve = system_resolve,
    ) -> None:
        self.allow = allow
        self.resolve = resolve
        self._home = home
        self._named = named

    def find(self, name: str) -> Target:
        """Return the target by its local name, or by its URL when the allow list has it.

        May ask the name service, so it blocks. ``attributes["addresses"]`` holds the checked
        addresses, separated by commas: connect to these.

        Raises:
            TargetNotAllowed: no such name, or an address that is not allowed here.
            InvalidInputs: a URL that cannot be read.
        """
        if ":" in name:
            return self._by_url(name)
        target = self._named.get(name)
        if target is None:
            raise TargetNotAllowed(
                f"This agent has no target named {name!r}",
                detail=did_you_mean(name, self._named)
                or f"Add it to 'targets' in {self._home.config} and restart the agent",
            )
        database = parse_target(target.url)
        secret = {"user": target.user or database.user}
        secret["password"] = password_of(name, target, self._home)
        return self._checked(name, target.url, self.allow.widened_by(database), secret)

    def _by_url(self, url: str) -> Target:
        return self._checked("", url, self.allow, None)

    def _checked(
        self, name: str, url: str, allow: AllowList, secret: Mapping[str, str] | None
    ) -> Target:
        try:
            database = parse_target(url)
        except LinkError as error:
            raise InvalidInputs(error.message, field="connection_url", detail=error.hint) from None
        addresses = self._addresses(database, allow)
        return Target(
            name=name,
            address=url,
            host="" if database.host.startswith("/") else database.host,
            port=database.port,
            attributes={"addresses": ",".join(addresses)},
            secret=Secret(secret) if secret is not None else None,
        )

    def _addresses(self, database: DatabaseTarget, allow: AllowList) -> list[str]:
        if database.scheme == "sqlite":
            allow.check_file(database.database)
            return []
        if database.host.startswith("/"):
            allow.check_socket(database.host)
            return []
        return allow.addresses(database.host, database.port, self.resolve)
