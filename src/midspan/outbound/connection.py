"""From a connection's name to where it leads and how it proves who asks."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from msgspec import Struct

from midspan.kernel.errors import Conflict, InvalidDefinition, NotFound, did_you_mean
from midspan.records import Record, RecordTransaction
from midspan_link.authentication import Authentication, authenticate
from midspan_link.errors import LinkError
from midspan_link.protocol import Secret
from midspan_sdk import ConnectionInfo

SCHEMES = ("none", "basic", "bearer", "api_key", "webhook")
_OF_CLASS = {"basic_auth_credentials": "basic", "api_key_credentials": "api_key"}


class Connection(Struct, frozen=True, kw_only=True):
    """A resolved connection; ``url`` is secret with the scheme ``webhook``, as is what is below."""

    name: str
    url: str
    auth: str = "none"
    authentication: Authentication | None = None
    timeout: timedelta | None = None
    mid_server: str = ""
    """The sys_id of the agent that carries the calls, ``any``, or empty: directly."""

    def __repr__(self) -> str:
        """Show name, origin and scheme."""
        return f"Connection({self.name!r}, {self.origin!r}, {self.auth!r})"

    @property
    def origin(self) -> str:
        """Scheme, host and port: the only place that gets the credential."""
        return origin_of(self.url)

    @property
    def info(self) -> ConnectionInfo:
        """What an action may know."""
        shown = self.origin if self.auth == "webhook" else self.url
        return ConnectionInfo(name=self.name, base_url=shown, auth=self.auth)


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, the default port written out.

    >>> origin_of("https://Hooks.Example.com/services/T0/B0/x")
    'https://hooks.example.com:443'
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def known_connections(transaction: RecordTransaction) -> list[str]:
    """Return every name that ``resolve`` takes: ids of aliases and names of connections."""
    aliases = [
        record.get("id") or record.get("name") for record in transaction.find("sys_alias", "")
    ]
    connections = [record.get("name") for record in transaction.find("http_connection", "")]
    return sorted({name for name in (*aliases, *connections) if name})


def find_connection(transaction: RecordTransaction, name: str) -> Record:
    """Return the active HTTP connection behind an alias (by id or name) or of that name.

    Raises:
        NotFound: no such alias or connection, with the nearest name, or none of it is active.
        Conflict: an alias for one connection has several.
    """
    alias = transaction.first("sys_alias", f"id={name}") or transaction.first(
        "sys_alias", f"name={name}"
    )
    if alias is None:
        record = transaction.first("http_connection", f"name={name}^active=true^ORDERBYorder")
        if record is None:
            hint = did_you_mean(name, known_connections(transaction))
            raise NotFound(
                f"There is no active connection or alias {name!r}",
                hint=hint or "Create an HTTP connection or an alias with this name.",
            )
        return record
    query = f"connection_alias={alias.sys_id}^active=true^ORDERBYorder"
    found = transaction.find("http_connection", query, limit=2)
    if not found:
        raise NotFound(
            f"Alias {name!r} has no active HTTP connection",
            hint="Add one, or activate the one it has.",
        )
    if len(found) > 1 and alias.get("multiple_connections") != "true":
        raise Conflict(
            f"Alias {name!r} has several active connections",
            hint="Deactivate all but one, or let the alias have multiple connections.",
        )
    return found[0]


def resolve(transaction: RecordTransaction, name: str) -> Connection:
    """Return the connection behind a name with its credential opened; keep it in memory only.

    Raises:
        NotFound, Conflict: as ``find_connection``.
        InvalidDefinition: its URL or credential cannot be used; the message says which and why.
    """
    record = find_connection(transaction, name)
    url = record.get("connection_url") or _built(record)
    credential = _credential(transaction, record)
    auth, secret = ("none", Secret()) if credential is None else _opened(transaction, credential)
    if auth == "webhook":
        if url and origin_of(url) != origin_of(secret.token):
            raise InvalidDefinition(
                f"The webhook of connection {name!r} leads to another host than its URL",
                hint="Put the webhook's own origin into the connection's URL.",
            )
        url = secret.token
    if not url.startswith(("http://", "https://")):
        raise InvalidDefinition(
            f"Connection {name!r} has no http or https URL", hint="Set its connection URL."
        )
    seconds = int(record.get("connection_timeout") or 0)
    agent = (record.get("mid_server") or "any") if record.get("use_mid") == "true" else ""
    return Connection(
        name=name,
        url=url,
        auth=auth,
        authentication=_headers(name, auth, secret),
        timeout=timedelta(seconds=seconds) if seconds > 0 else None,
        mid_server=agent,
    )


def _built(record: Record) -> str:
    if not record.get("host"):
        return ""
    port = f":{record.get('port')}" if record.get("port") else ""
    path = record.get("base_path").strip("/")
    base = f"{record.get('protocol') or 'https'}://{record.get('host')}{port}"
    return f"{base}/{path}" if path else base


def _credential(transaction: RecordTransaction, record: Record) -> Record | None:
    wanted = record.get("credential")
    if not wanted:
        return None
    credential = transaction.load("discovery_credentials", (wanted,)).get(wanted)
    if credential is None or credential.get("active") == "false":
        raise InvalidDefinition(
            f"The credential of connection {record.get('name')!r} is missing or inactive",
            hint="Choose an active credential.",
        )
    return credential


def _opened(transaction: RecordTransaction, credential: Record) -> tuple[str, Secret]:
    auth = credential.get("type") or _OF_CLASS.get(credential.table, "")
    if auth not in SCHEMES:
        raise InvalidDefinition(
            f"Credential {credential.get('name')!r} has the type {auth!r}",
            hint=did_you_mean(auth, SCHEMES) or f"Known: {', '.join(SCHEMES)}.",
        )

    def reveal(field: str) -> str:
        stored = credential.get(field)
        return transaction.store.reveal(credential.table, credential.sys_id, field, stored)

    user = credential.get("user_name")
    if auth == "basic":
        return auth, Secret(user=user, password=reveal("password"))
    token = reveal("api_key" if credential.get("api_key") else "password")
    return auth, Secret(token=token, header=user if auth == "api_key" else "")


def _headers(name: str, auth: str, secret: Secret) -> Authentication | None:
    if auth in ("none", "webhook"):
        return None
    try:
        return authenticate(auth, secret)
    except LinkError as error:
        raise InvalidDefinition(
            f"The credential of connection {name!r} cannot be used: {error.message}",
            hint=error.hint,
        ) from None
