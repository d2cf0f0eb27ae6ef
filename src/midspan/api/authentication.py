"""Who sends a request: Basic credentials, a token, the session cookie, or a further scheme."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence

from midspan.api.acting import proved
from midspan.api.apikeys import ApiKeys
from midspan.api.bearer import Bearer
from midspan.api.clientcerts import SCHEME as CERTIFICATE
from midspan.api.clientcerts import ClientCertificates
from midspan.api.crossorigin import trusted
from midspan.api.errors import CsrfTokenMissing
from midspan.api.parts import ApiParts, SignInScheme
from midspan.api.request import NOBODY, Identity, Request
from midspan.api.router import Access, HandlerDecides, Public, Role, SignedIn
from midspan.api.sessions import COOKIE, Sessions
from midspan.api.tokens import Tokens
from midspan.kernel.errors import NotAuthenticated, NotAuthorized
from midspan.records import RIGHTS

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SENT_BY_BROWSERS = frozenset({"basic", "session", CERTIFICATE, "guest"})
"""Credentials that a browser adds by itself, or needs not, whoever made it send the request."""
FORM_TOKEN = "sysparm_ck"  # noqa: S105 - the name of a form field


class Basic:
    """``Authorization: Basic``; checked again for each request, remembered for a minute."""

    def claims(self, request: Request) -> bool:
        """Tell whether credentials came with the request."""
        return request.headers.get("authorization", "")[:6].lower() == "basic "

    def identify(self, request: Request) -> Identity | None:
        """Return the user whose name and password came with the request."""
        given = self._credentials(request)
        if given is None:
            return None
        rights = request.snapshot.part(RIGHTS)
        identities = request.parts.identities
        return Identity(identities.sign_in(*given, rights, address=request.address), "basic")

    def remembered(self, request: Request) -> Identity | None:
        """Like ``identify``, but None when the password would have to be verified."""
        given = self._credentials(request)
        actor = request.parts.identities.remembered(*given) if given else None
        return Identity(actor, "basic") if actor else None

    @staticmethod
    def _credentials(request: Request) -> tuple[str, str] | None:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError) as error:
            raise NotAuthenticated("User Not Authenticated") from error
        user_name, colon, password = _text(decoded).partition(":")
        if not colon or "\0" in user_name:  # which PostgreSQL would not even look for
            raise NotAuthenticated("User Not Authenticated")
        return user_name, password


class SessionCookie:
    """The cookie of a live session."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def identify(self, request: Request) -> Identity | None:
        """Return the user of the session; a dead or unknown session counts as no credentials.

        A new password and a lock end it; roles are those of now.
        """
        token = cookie_of(request)
        session = self._sessions.find(token) if token else None
        if session is None:
            return None
        actor = request.parts.identities.actor(session.user, request.snapshot.part(RIGHTS))
        if not hmac.compare_digest(session.stamp, actor.stamp):
            return None
        return Identity(actor, "session", session.csrf, began_with=session.scheme)


class Authenticator:
    """Asks the schemes in order and enforces access rules."""

    def __init__(
        self, parts: ApiParts, sessions: Sessions, tokens: Tokens, certificates: ClientCertificates
    ) -> None:
        self._certificates = certificates
        self._basic = Basic()
        self._others: Sequence[SignInScheme] = (*parts.schemes, Bearer(tokens), ApiKeys())
        self._schemes: Sequence[SignInScheme] = (*self._others, self._basic)
        self._cookie = SessionCookie(sessions)

    def identify(self, request: Request) -> Identity:
        """Return who sent the request; ``NOBODY`` when it carries no credentials.

        Raises:
            NotAuthenticated: it carries credentials that are not valid or not understood.
        """
        inherited = proved()
        if inherited is not None:
            return inherited
        for scheme in self._schemes:
            found = scheme.identify(request)
            if found is not None:
                return found
        if request.headers.get("authorization"):
            raise NotAuthenticated("User Not Authenticated")
        return self._cookie.identify(request) or self._certificates.identify(request) or NOBODY

    def admit_at_once(self, request: Request, access: Access) -> Request | None:
        """Return the request with its identity where that is known without waiting, else None.

        Nobody is refused here: whoever is not surely admitted is left to ``admit``.
        """
        if isinstance(access, Public) or request.parameter("sysparm_tiny"):
            return None  # a short address has to be looked up
        identity = proved()
        if identity is None:
            if any(scheme.claims(request) for scheme in self._others):
                return None  # it may have to wait
            identity = self._basic.remembered(request)
        if identity is None or not _is_wanted(identity, access):
            return None
        return request.replace(identity=identity)

    def admit(self, request: Request, access: Access) -> Request:
        """Return the request with its identity.

        Raises:
            NotAuthenticated: the rule wants somebody and this is nobody.
            NotAuthorized: somebody else is wanted.
        """
        if isinstance(access, Public):
            return request
        identity = self.identify(request)
        if identity is NOBODY and isinstance(access, SignedIn) and access.guest is not None:
            identity = access.guest(request) or NOBODY
        match access:
            case SignedIn() | Role() if identity is NOBODY:
                raise NotAuthenticated("User Not Authenticated")
            case Role() if not _is_wanted(identity, access):
                raise NotAuthorized("User Not Authorized", detail="Failed API level ACL Validation")
            case SignedIn() | Role() | HandlerDecides():
                return request.replace(identity=identity)


def _is_wanted(identity: Identity, access: Access) -> bool:
    return not isinstance(access, Role) or identity.actor.has_role(access.name)


def check_csrf(request: Request, *, page: bool) -> None:
    """Refuse a write that the user's browser may have been made to send.

    Raises:
        NotAuthorized: the browser says that a page of another site sent it, and no CORS rule
            trusts that site.
        CsrfTokenMissing: it is authenticated by the cookie alone, and neither X-UserToken nor, for
            a page's form, its hidden field fits.
    """
    if request.method in _SAFE and request.sent_method in _SAFE:
        return
    refuse_forged(request, lambda: request.form().get(FORM_TOKEN, "") if page else "")


def refuse_forged(request: Request, hidden: Callable[[], str]) -> None:
    """Refuse what the user's browser may have been made to send, whatever its method.

    ``hidden`` returns the token that came otherwise than in X-UserToken.

    Raises:
        NotAuthorized, CsrfTokenMissing: as for ``check_csrf``.
    """
    if request.identity.scheme in _SENT_BY_BROWSERS and not trusted(request):
        refuse_other_sites(request)
    if request.identity.scheme != "session":
        return
    sent = request.headers.get("x-usertoken", "") or hidden()
    if not hmac.compare_digest(sent.encode(), request.identity.csrf.encode()):
        raise CsrfTokenMissing(sent, request.identity.csrf)


def refuse_other_sites(request: Request) -> None:
    """Refuse what a page of another site made the browser send.

    Raises:
        NotAuthorized: the browser says that it came from elsewhere.
    """
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise NotAuthorized("User Not Authorized", detail="The request came from another site")


def cookie_of(request: Request, wanted: str = COOKIE) -> str:
    """Return the value of a cookie, that of the session if no other is wanted, or ``''``."""
    sent = request.headers.get("cookie")
    if not sent:
        return ""
    for part in sent.split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted:
            return value.strip('"')
    return ""


def _text(raw: bytes) -> str:
    """Browsers send UTF-8, some old clients Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
