"""How a message proves who asks: by what its record, a profile or the script itself says."""

from __future__ import annotations

from msgspec import Struct

from midspan.kernel.errors import InvalidDefinition, NotFound
from midspan.records import Record, RecordTransaction
from midspan_link.authentication import Authentication, authenticate
from midspan_link.errors import LinkError
from midspan_link.protocol import Secret

_AUTHORITIES = ("sys_rest_message", "sys_rest_message_fn", "sys_soap_message")
BASIC_PROFILES, OAUTH_PROFILES = "sys_auth_profile_basic", "oauth_entity_profile"


class Grant(Struct, frozen=True, kw_only=True):
    """Where a token comes from (RFC 6749, section 4.4); the secret is in memory only."""

    profile: str
    url: str
    client: str
    secret: str
    in_body: bool = False

    def __repr__(self) -> str:
        """Show the profile alone."""
        return f"Grant({self.profile!r})"


class Proof(Struct, frozen=True):
    """``headers`` that go to the origin of the endpoint alone, or a ``grant`` to get a token by."""

    headers: Authentication | None = None
    grant: Grant | None = None

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "Proof(***)"


def of_record(transaction: RecordTransaction, table: str, sys_id: str) -> Proof:
    """Return the proof that the record of a message or function asks for.

    Raises:
        InvalidDefinition: its profile is missing or cannot be used.
    """
    record = transaction.load(table, (sys_id,)).get(sys_id)
    if record is None:
        raise NotFound(f"There is no {table} {sys_id}")
    match record.get("authentication_type"):
        case "basic":
            if record.get("basic_auth_profile"):
                return of_profile(transaction, "basic", record.get("basic_auth_profile"))
            password = _clear(transaction, record, "basic_auth_password")
            return Proof(basic(record.get("basic_auth_user"), password))
        case "oauth2":
            return of_profile(transaction, "oauth2", record.get("oauth2_profile"))
        case _:
            return Proof()


def of_profile(transaction: RecordTransaction, kind: str, sys_id: str) -> Proof:
    """Return the proof of a profile: ``basic`` or ``oauth2``.

    Raises:
        InvalidDefinition: there is no such profile or kind, or it cannot be used.
    """
    if kind == "basic":
        record = _profile(transaction, BASIC_PROFILES, sys_id)
        password = _clear(transaction, record, "password")
        return Proof(basic(record.get("username"), password))
    if kind != "oauth2":
        raise InvalidDefinition(
            f"There is no authentication profile of type {kind!r}", hint="Use basic or oauth2."
        )
    profile = _profile(transaction, OAUTH_PROFILES, sys_id)
    entity = _profile(transaction, "oauth_entity", profile.get("oauth_entity"))
    if not entity.get("token_url"):
        raise InvalidDefinition(
            f"The OAuth provider {entity.get('name')!r} has no token URL", hint="Set it."
        )
    grant = profile.get("grant_type") or entity.get("default_grant_type")
    if grant != "client_credentials":
        raise InvalidDefinition(
            f"The OAuth profile {profile.get('name')!r} uses the grant {grant!r}",
            hint="Messages get their tokens by client_credentials: nobody is there to sign in.",
        )
    return Proof(
        grant=Grant(
            profile=profile.sys_id,
            url=entity.get("token_url"),
            client=entity.get("client_id"),
            secret=_clear(transaction, entity, "client_secret"),
            in_body=entity.get("send_client_credentials_as") == "request_body",
        )
    )


def basic_secret(transaction: RecordTransaction, table: str, sys_id: str) -> Secret | None:
    """Return user and password of a message, function or basic profile; None when it has none.

    Raises:
        InvalidDefinition: it proves who asks in another way, or its profile is missing.
    """
    if table != BASIC_PROFILES:
        if table not in _AUTHORITIES:
            raise InvalidDefinition(
                f"Authentication of type {table!r} does not go through a MID server",
                hint="Use a basic authentication profile.",
            )
        record = transaction.load(table, (sys_id,)).get(sys_id)
        kind = record.get("authentication_type") if record else ""
        if record is None or kind in ("", "no_authentication"):
            return None
        if kind != "basic":
            raise InvalidDefinition(
                f"Authentication of type {kind!r} does not go through a MID server",
                hint="Use a basic authentication profile.",
            )
        if not record.get("basic_auth_profile"):
            password = _clear(transaction, record, "basic_auth_password")
            return Secret(user=record.get("basic_auth_user"), password=password)
        sys_id = record.get("basic_auth_profile")
    profile = _profile(transaction, BASIC_PROFILES, sys_id)
    return Secret(user=profile.get("username"), password=_clear(transaction, profile, "password"))


def basic(user: str, password: str) -> Authentication:
    """Return basic authentication.

    Raises:
        InvalidDefinition: no user, or one with a colon.
    """
    try:
        return authenticate("basic", Secret(user=user, password=password))
    except LinkError as error:
        raise InvalidDefinition(error.message, hint=error.hint) from None


def _profile(transaction: RecordTransaction, table: str, sys_id: str) -> Record:
    record = transaction.load(table, (sys_id,)).get(sys_id) if sys_id else None
    if record is None or record.get("active") == "false":
        raise InvalidDefinition(
            f"The authentication profile {sys_id!r} does not exist or is not active",
            hint=f"Name the sys_id of a record of {table}.",
        )
    return record


def _clear(transaction: RecordTransaction, record: Record, field: str) -> str:
    stored = record.get(field)
    return transaction.store.reveal(record.table, record.sys_id, field, stored) if stored else ""
