"""OAuth tokens: rows of ``oauth_credential`` that hold a hash of each, never the token itself.

A token is a keyed digest of its row's random handle, and the key is sealed by the vault in one row
of ``sys_token`` that all nodes share. So a live token can be handed out again to whoever proves
anew that he may have it, as clients expect, and the tables alone give nobody one. All tokens that
come from one sign-in or consent are a family; they end together. Each row keeps the user's stamp:
a new password or a lock ends his tokens, as it ends his sessions. Roles are always those of now.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from datetime import datetime, timedelta

from msgspec import Struct

from midspan.dictionary import Storage
from midspan.dictionary.values import datetime_text, parse_datetime
from midspan.kernel.clock import Clock
from midspan.kernel.errors import DuplicateKey, NotAuthenticated
from midspan.kernel.ids import IdSource, derived_id
from midspan.query import Operator, ReadPlan, Test
from midspan.records import Record, RecordStore, RecordTransaction
from midspan.security import SYSTEM, Actor
from midspan.storage import Statements

ACCESS, REFRESH, CODE = "access_token", "refresh_token", "authorization_code"
SCOPE = "useraccount"
"""Full rights of the user; the only scope there is."""
CLIENTS = "oauth_entity"
TABLE = "oauth_credential"
_KEY_TABLE = "sys_token"
_KEY_ROW = derived_id(_KEY_TABLE, "oauth")
_KEY_PLACE = f"{_KEY_TABLE}:{_KEY_ROW}:sealed"
_KEPT = timedelta(days=1)
"""How long a row outlives its token, so that a code that comes a second time is recognised."""
_LIFESPANS = {ACCESS: 1_800, REFRESH: 8_640_000, CODE: 60}
"""Seconds, where the client's row does not say."""
_LONGEST = 10 * 365 * 86_400


class Grant(Struct, frozen=True, kw_only=True):
    """What tokens are asked for, by whom and for whom."""

    client: Record
    actor: Actor
    grant_type: str
    family: str = ""
    """Empty: that of a live token which the same client got for the same user in the same way."""
    refresh: bool = True
    code: Record | None = None
    """The code that is exchanged; it is used up together with the issue."""


class Issued(Struct, frozen=True):
    """Tokens as they are handed out; ``expires_in`` in whole seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


class Consent(Struct, frozen=True, kw_only=True):
    """What a user agreed to on the consent page; a code stands for it."""

    client: Record
    actor: Actor
    redirect_url: str = ""
    """As it was asked for; empty where the client left it out."""
    code_challenge: str = ""
    code_challenge_method: str = ""


class CodeUsed(NotAuthenticated):
    """A code came a second time; what the first one got has ended."""

    code = "MS311"


class Tokens:
    """Issues, finds and ends tokens and codes."""

    def __init__(self, records: RecordStore, clock: Clock, ids: IdSource) -> None:
        self._records = records
        self._clock = clock
        self._ids = ids
        self._sql = Statements("midspan.api", "tokens", records.database.dialect)
        self._key = b""

    def client(self, client_id: str) -> Record | None:
        """Return the active client with exactly this id, or None."""
        if not client_id or "\0" in client_id:
            return None
        with self._records.read(SYSTEM, enforce=False) as transaction:
            dictionary = transaction.dictionary
            path = dictionary.path(CLIENTS, "client_id")
            plan = ReadPlan(
                table=CLIENTS,
                columns=(dictionary.path(CLIENTS, "sys_id"), path),
                condition=Test(path, Operator.EQUALS, (client_id,)),
            )
            exact = [str(row[0]) for row in transaction.run(plan) if row[1] == client_id]
            found = transaction.load(CLIENTS, exact).get(exact[0]) if exact else None
        return found if found is not None and is_usable(found) else None

    def secret(self, client: Record) -> str:
        """Return a client's secret in clear, ``''`` where it has none.

        Raises:
            UnreadableSecret: it was altered, or moved here from another row.
        """
        stored = client.get("client_secret")
        return self._records.reveal(client.table, client.sys_id, "client_secret", stored)

    def issue(self, grant: Grant) -> Issued:
        """Return tokens for a grant: the live ones of its family, new ones where there are none.

        Raises:
            CodeUsed: the code of the grant was exchanged meanwhile.
        """
        try:
            return self._issue(grant, self._signing_key())
        except CodeUsed:
            self.end_family(grant.family)
            raise

    def _issue(self, grant: Grant, key: bytes) -> Issued:
        with self._records.write(SYSTEM, enforce=False) as transaction:
            if grant.code is not None:
                self._use(transaction, grant.code)
            self._purge(transaction, grant)
            family = grant.family or self._live_family(transaction, grant) or self._ids.sys_id()
            access, row = self._one(transaction, grant, family, ACCESS, key)
            refresh = ""
            if grant.refresh:
                refresh, _ = self._one(transaction, grant, family, REFRESH, key)
        left = (parse_datetime(row["expires"]) - self._clock.now()).total_seconds()
        return Issued(access, refresh, max(math.ceil(left) - 1, 0))

    def find(self, token: str, kind: str) -> Record | None:
        """Return the row of a live token of an active client, or None."""
        with self._records.read(SYSTEM, enforce=False) as transaction:
            row = _row(transaction, token)
            if row is None or row.get("type") != kind or not self._is_live(row):
                return None
            peer = row.get("peer")
            client = transaction.load(CLIENTS, (peer,)).get(peer)
        return row if client is not None and is_usable(client) else None

    def any(self, token: str) -> Record | None:
        """Return the row of a token in whatever state, or None."""
        with self._records.read(SYSTEM, enforce=False) as transaction:
            return _row(transaction, token)

    def revoke(self, row: Record) -> None:
        """End a token; with a refresh token or a code its whole family."""
        if row.get("type") != ACCESS:
            self.end_family(row.get("family"))
            return
        with self._records.write(SYSTEM, enforce=False) as transaction:
            self._end(transaction, row)

    def end_family(self, family: str) -> None:
        """End everything that came from one sign-in or consent."""
        with self._records.write(SYSTEM, enforce=False) as transaction:
            for row in transaction.find(TABLE, f"family={family}^revokedISEMPTY"):
                self._end(transaction, row)

    def code(self, consent: Consent) -> str:
        """Return a new code, good once and for as long as the client's row says."""
        code = self._ids.token()
        values = self._values(consent.client, consent.actor, CODE, code) | {
            "family": self._ids.sys_id(),
            "redirect_url": consent.redirect_url,
            "code_challenge": consent.code_challenge,
            "code_challenge_method": consent.code_challenge_method,
        }
        with self._records.write(SYSTEM, enforce=False) as transaction:
            transaction.engine_insert(TABLE, [values])
        return code

    def redeemable(self, code: str, client: Record) -> Record | None:
        """Return the row of a live code of a client, or None; a used one ends what it got."""
        row = self.any(code)
        if row is None or row.get("type") != CODE or row.get("peer") != client.sys_id:
            return None
        if row.get("revoked"):
            self.end_family(row.get("family"))
        return row if self._is_live(row) else None

    def use_up(self, client: Record, jti: str, until: datetime) -> None:
        """Note that a client's JWT came, for as long as it could come again.

        Raises:
            DuplicateKey: it came before, on whichever node.
        """
        hashed = digest(f"{client.sys_id}\0{jti}")
        row = {
            "sys_id": derived_id(_KEY_TABLE, "jti", hashed),
            "token_hash": hashed,
            "purpose": "jti",
            "expires": datetime_text(until + timedelta(seconds=1)),
        }
        with self._records.write(SYSTEM, enforce=False) as transaction:
            database = transaction.database
            now = database.dialect.bind(Storage.DATETIME, transaction.now_text)
            database.execute(self._sql["purge_assertions"], (now,))
            transaction.engine_insert(_KEY_TABLE, [row])

    def _use(self, transaction: RecordTransaction, code: Record) -> None:
        """Use a code up; of two requests at the same time only one gets through."""
        database = transaction.database
        now = database.dialect.bind(Storage.DATETIME, datetime_text(transaction.now))
        if database.execute(self._sql["use_credential"], (now, code.sys_id)) != 1:
            raise CodeUsed("User Not Authenticated")

    def _end(self, transaction: RecordTransaction, row: Record) -> None:
        transaction.engine_update(TABLE, row.sys_id, {"revoked": datetime_text(transaction.now)})

    def _is_live(self, row: Record) -> bool:
        return not row.get("revoked") and parse_datetime(row.get("expires")) > self._clock.now()

    def _live_family(self, transaction: RecordTransaction, grant: Grant) -> str:
        query = (
            f"user={grant.actor.sys_id}^peer={grant.client.sys_id}^type={ACCESS}"
            f"^grant_type={grant.grant_type}^stamp={grant.actor.stamp}^revokedISEMPTY"
            "^ORDERBYDESCexpires"
        )
        row = transaction.first(TABLE, query)
        return row.get("family") if row is not None and self._is_live(row) else ""

    def _one(
        self, transaction: RecordTransaction, grant: Grant, family: str, kind: str, key: bytes
    ) -> tuple[str, dict[str, str]]:
        """Return the family's live token of a kind, or a new one, with its row."""
        query = f"family={family}^type={kind}^revokedISEMPTY^ORDERBYDESCexpires"
        row = transaction.first(TABLE, query)
        if row is not None and self._is_live(row):
            token = _token(key, kind, row.get("handle"))
            if hmac.compare_digest(digest(token), row.get("token")):
                return token, dict(row.values)
        handle = self._ids.token()
        token = _token(key, kind, handle)
        values = self._values(grant.client, grant.actor, kind, token)
        values |= {"family": family, "handle": handle, "grant_type": grant.grant_type}
        transaction.engine_insert(TABLE, [values])
        return token, values

    def _values(self, client: Record, actor: Actor, kind: str, token: str) -> dict[str, str]:
        hashed = digest(token)
        return {
            "sys_id": derived_id(TABLE, hashed),
            "name": client.get("name"),
            "type": kind,
            "token": hashed,
            "expires": datetime_text(self._clock.now() + lifespan(client, kind)),
            "user": actor.sys_id,
            "peer": client.sys_id,
            "scope": SCOPE,
            "stamp": actor.stamp,
        }

    def _purge(self, transaction: RecordTransaction, grant: Grant) -> None:
        """Drop what this client got for this user and what ended long ago."""
        database = transaction.database
        limit = database.dialect.bind(Storage.DATETIME, datetime_text(transaction.now - _KEPT))
        ids = (grant.client.sys_id, grant.actor.sys_id)
        database.execute(self._sql["purge_credentials"], (*ids, limit))

    def _signing_key(self) -> bytes:
        """Return the key that tokens are made with; the first node to need it makes it."""
        if not self._key:
            sealed = self._stored_key() or self._new_key()
            self._key = self._records.keepers.vault.open(sealed, _KEY_PLACE).encode()
        return self._key

    def _stored_key(self) -> str:
        with self._records.read(SYSTEM, enforce=False) as transaction:
            row = transaction.load(_KEY_TABLE, (_KEY_ROW,)).get(_KEY_ROW)
        return row.get("sealed") if row is not None else ""

    def _new_key(self) -> str:
        sealed = self._records.keepers.vault.seal(self._ids.token(48), _KEY_PLACE)
        row = {"sys_id": _KEY_ROW, "token_hash": _KEY_ROW, "purpose": "oauth", "sealed": sealed}
        try:
            with self._records.write(SYSTEM, enforce=False) as transaction:
                transaction.engine_insert(_KEY_TABLE, [row])
        except DuplicateKey:  # another node was quicker
            return self._stored_key()
        return sealed


def is_usable(client: Record) -> bool:
    """Tell whether a row is an active client of this instance, not a server that it calls.

    >>> is_usable(Record("oauth_entity", {"type": "client", "active": "true"}))
    True
    >>> is_usable(Record("oauth_entity", {"type": "provider", "active": "true"}))
    False
    """
    return client.get("type") == "client" and client.get("active") == "true"


def lifespan(client: Record, kind: str) -> timedelta:
    """Return how long a token of a client lives: between a second and ten years.

    >>> lifespan(Record("oauth_entity", {"access_token_lifespan": "60"}), ACCESS).seconds
    60
    """
    name = "auth_code_lifespan" if kind == CODE else f"{kind}_lifespan"
    given = client.get(name)
    seconds = int(given) if given else _LIFESPANS[kind]
    return timedelta(seconds=min(max(seconds, 1), _LONGEST))


def digest(token: str) -> str:
    """Return the form in which a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def _row(transaction: RecordTransaction, token: str) -> Record | None:
    """Find a token by the id that follows from its hash: one look-up by key."""
    sys_id = derived_id(TABLE, digest(token))
    return transaction.load(TABLE, (sys_id,)).get(sys_id)


def _token(key: bytes, kind: str, handle: str) -> str:
    """Return 86 URL-safe characters."""
    made = hmac.digest(key, f"{kind}:{handle}".encode(), "sha512")
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()
