"""Sessions of browsers and of clients that keep cookies: rows of ``sys_session``.

The form login makes a row. A request with credentials of its own gets a cookie that costs no
write: the sealed name of its user, and a number of its own. Only when such a cookie comes back
alone it becomes a row, too, on whichever node it arrives. Rows hold a hash of the cookie; a row
that was ended stays until the cookie would have expired, so that the cookie cannot come to life
again. Row and cookie keep the user's stamp of that time: a new password or a lock changes it, and
ends every session before it. A pass may say that it is the first of its session: nobody signs in
with that one, the next answer brings another of the same number.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta

import orjson
from msgspec import Struct

from midspan.dictionary.values import datetime_text, parse_datetime
from midspan.kernel.clock import Clock
from midspan.kernel.errors import DuplicateKey, MidspanError
from midspan.kernel.ids import IdSource, derived_id
from midspan.records import Record, RecordStore
from midspan.security import SYSTEM, Actor

COOKIE = "JSESSIONID"
IDLE = timedelta(minutes=30)
_NOTED_EVERY = timedelta(minutes=5)
_SEALED_FOR = timedelta(seconds=1)
_MOST_SEALS = 256
_FIRST = "~"
"""Begins the number of the first pass of a session that is to be exchanged."""
_PLACE = "sys_session:cookie:token"
_TABLE = "sys_session"
PASS_SCHEME = "basic"  # noqa: S105 - the name of a scheme
"""The one scheme whose users get a pass."""


class Session(Struct, frozen=True):
    """A live session: its cookie value, its user and the token that writes must repeat."""

    token: str
    user: str
    csrf: str
    stamp: str = ""
    """The user's stamp when it began; see ``Actor``."""
    scheme: str = ""
    """What it began with, where that was not the sign-in form: a session cannot do more."""


class _Seal(Struct, frozen=True):
    """What the passes of one user have in common for a second."""

    made: datetime
    sealed: str
    key: str
    """Is sealed with the rest, and proves that the number of a pass was given out here."""

    def pass_with(self, number: str) -> str:
        """Return the pass with this number; nobody can make another one of it."""
        return f"{self.sealed}.{number}.{_proof(self.key, number)}"


class _Pass(Struct, frozen=True):
    """What a pass says."""

    user: str
    number: str
    stamp: str
    idle: int
    """Seconds."""


class Sessions:
    """Starts, finds and ends sessions."""

    def __init__(self, records: RecordStore, clock: Clock, ids: IdSource) -> None:
        self._records = records
        self._clock = clock
        self._ids = ids
        self._seals: dict[tuple[str, str, int, timedelta], _Seal] = {}

    def start(self, actor: Actor) -> Session:
        """Start a session after a form login."""
        session = Session(self._ids.token(), actor.sys_id, self._csrf(), actor.stamp)
        self._insert(session)
        return session

    def pass_for(
        self, actor: Actor, idle: timedelta = IDLE, *, number: str = "", first: bool = False
    ) -> str:
        """Return a cookie value for somebody who proved who he is; nothing is written.

        It is good for ``idle`` after its last use. ``number`` is that of a pass before it; with
        ``first`` nobody signs in with this one.
        """
        number = number or self._ids.token(18)
        return self._seal(actor, idle).pass_with(f"{_FIRST if first else ''}{number}")

    def is_good(self, token: str, actor: Actor) -> bool:
        """Tell whether a cookie value is a pass of this user that was not used by itself yet."""
        found = self._opened(token)
        return found is not None and found.user == actor.sys_id and found.stamp == actor.stamp

    def find(self, token: str) -> Session | None:
        """Return the live session of a cookie value, or None."""
        row = self._row(token)
        if row is None:
            return self._from_pass(token)
        now = self._clock.now()
        if parse_datetime(row.get("expires")) <= now:
            return None
        idle = timedelta(seconds=int(row.get("idle") or 0)) or IDLE
        if now - parse_datetime(row.get("last_used")) > min(_NOTED_EVERY, idle / 6):
            self._note(row.sys_id, now, now + idle)
        user, csrf = row.get("user"), row.get("csrf")
        return Session(token, user, csrf, row.get("stamp"), row.get("scheme"))

    def end(self, token: str) -> None:
        """End the session of a cookie value, if there is one."""
        if self.find(token) is not None:
            row = self._row(token)
            now = self._clock.now()
            if row is not None:
                self._note(row.sys_id, now, now)

    def _seal(self, actor: Actor, idle: timedelta) -> _Seal:
        """Return what was sealed for the user in this very second, or seal it."""
        now, life = self._clock.now(), self._life()
        known = self._seals.get((actor.sys_id, actor.stamp, life, idle))
        if known is not None and known.made <= now < known.made + _SEALED_FOR:
            return known
        key, expires = self._ids.token(), datetime_text(now + idle)
        seconds = int(idle.total_seconds())
        text = orjson.dumps([actor.sys_id, key, expires, actor.stamp, life, seconds]).decode()
        made = _Seal(now, self._records.keepers.vault.seal(text, _PLACE), key)
        if len(self._seals) >= _MOST_SEALS:
            self._seals.clear()
        self._seals[actor.sys_id, actor.stamp, life, idle] = made
        return made

    def _life(self) -> int:
        """Return in which life of the database this is; a cookie of another one is dead."""
        lives = self._records.database.lives
        return lives.now if lives.begun is None else lives.begun

    def _csrf(self) -> str:
        return hashlib.shake_256(self._ids.token().encode()).hexdigest(36)

    def _row(self, token: str) -> Record | None:
        with self._records.read(SYSTEM, enforce=False) as transaction:
            return transaction.first(_TABLE, f"token_hash={_digest(token)}")

    def _from_pass(self, token: str) -> Session | None:
        found = self._opened(token)
        if found is None or found.number.startswith(_FIRST):
            return None
        session = Session(token, found.user, self._csrf(), found.stamp, PASS_SCHEME)
        try:
            self._insert(session, found.idle)
        except DuplicateKey:
            return self.find(token)
        return session

    def _opened(self, token: str) -> _Pass | None:
        """Return what a pass says; None for what is none, or is not good any more."""
        sealed, number, proof = _pieces(token)
        try:
            text = self._records.keepers.vault.open(sealed, _PLACE)
            user, key, expires, stamp, life, idle = orjson.loads(text)
        except (MidspanError, ValueError):
            return None
        if not hmac.compare_digest(proof.encode(), _proof(key, number).encode()):
            return None
        if parse_datetime(expires) <= self._clock.now() or life != self._life():
            return None
        return _Pass(user, number, stamp, idle)

    def _insert(self, session: Session, idle: int = 0) -> None:
        digest = _digest(session.token)
        now = self._clock.now()
        row = {
            "sys_id": derived_id(_TABLE, digest),
            "token_hash": digest,
            "user": session.user,
            "csrf": session.csrf,
            "stamp": session.stamp,
            "scheme": session.scheme,
            "idle": str(idle or ""),
            "expires": datetime_text(now + (timedelta(seconds=idle) or IDLE)),
            "last_used": datetime_text(now),
        }
        with self._records.write(SYSTEM, enforce=False) as transaction:
            transaction.engine_insert(_TABLE, [row])

    def _note(self, sys_id: str, used: datetime, expires: datetime) -> None:
        values = {"last_used": datetime_text(used), "expires": datetime_text(expires)}
        with self._records.write(SYSTEM, enforce=False) as transaction:
            transaction.engine_update(_TABLE, sys_id, values)


def session_cookie(token: str, *, secure: bool) -> str:
    """Return the Set-Cookie value that hands a session to a client.

    >>> session_cookie("abc", secure=True)
    'JSESSIONID=abc; Path=/; HttpOnly; SameSite=Lax; Secure'
    """
    return f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"


def number_of(token: str) -> str:
    """Return the number of what looks like a pass, the same for all of a session, else ``''``.

    >>> number_of("sealed.~abc.proof"), number_of("sealed.abc.proof"), number_of("else")
    ('abc', 'abc', '')
    """
    return _pieces(token)[1].removeprefix(_FIRST)


def is_first(token: str) -> bool:
    """Tell whether a cookie value looks like a pass that is to be exchanged."""
    return _pieces(token)[1].startswith(_FIRST)


def ended_cookie() -> str:
    """Return the Set-Cookie value that makes a browser forget its session."""
    return f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"


def _pieces(token: str) -> tuple[str, str, str]:
    """Return seal, number and proof; a pass has all of them."""
    sealed, _, rest = token.partition(".")
    number, _, proof = rest.partition(".")
    return sealed, number, proof


def _proof(key: str, number: str) -> str:
    return hashlib.blake2b(number.encode(), key=key.encode()[:64], digest_size=16).hexdigest()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
