"""``/oauth_auth.do``: a user lets a client act as him; the client gets a code for it.

Only a session of the sign-in form may consent: a token must not get another token, and what a
browser sends by itself proves nothing. A client or address that is not known is told to the user
and never redirected to. Every redirect names the instance (``iss``), so that a client of several
cannot be made to send a code to the wrong one.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

from midspan.api import html
from midspan.api.authentication import FORM_TOKEN
from midspan.api.description import FORM, TEXT, Answer, Body, Description, members, page, query
from midspan.api.frame import policy
from midspan.api.request import Request
from midspan.api.response import Response, redirect
from midspan.api.router import Route, SignedIn
from midspan.kernel.errors import NotAuthorized

if TYPE_CHECKING:
    from midspan.api.oauth import OAuthEndpoints
    from midspan.api.oauthserver import Asked

PATH = "/oauth_auth.do"
_MAX_FORM = 64 * 1024
_PARAMETERS = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
)


_ASK = Description(
    summary="Page where a user consents to a client",
    tag="OAuth 2.0",
    parameters=tuple(query(name, "As RFC 6749 and 7636 define it.") for name in _PARAMETERS),
    answers={
        200: page("The question."),
        302: Answer("Back to the client, with a code or an error.", headers=("Location",)),
        303: Answer("On to the form to sign in.", headers=("Location",)),
    },
    refuses=(400, 403),
)
_DECIDE = Description(
    summary="Answer of the user",
    tag="OAuth 2.0",
    body=Body(members(("answer",), **dict.fromkeys((*_PARAMETERS, "answer"), TEXT)), (FORM,)),
    answers={302: Answer("Back to the client.", headers=("Location",))},
    refuses=(400, 403),
)


class ConsentPages:
    """The page that asks, and what its two buttons do."""

    def __init__(self, endpoints: OAuthEndpoints) -> None:
        self._endpoints = endpoints

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route(
                name="oauth.ask",
                methods=("GET",),
                path=PATH,
                handler=self.ask,
                access=SignedIn(),
                page=True,
                description=_ASK,
            ),
            Route(
                name="oauth.decide",
                methods=("POST",),
                path=PATH,
                handler=self.decide,
                access=SignedIn(),
                page=True,
                description=_DECIDE,
                max_body=_MAX_FORM,
            ),
        )

    def ask(self, request: Request) -> Response:
        """Ask the user, unless the client's row says that he need not be asked."""
        if request.identity.scheme != "session":
            query = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in request.query)
            return redirect(f"/login?to={quote(f'{PATH}?{query}', safe='')}")
        asked = self._endpoints.server.asked(request)
        if isinstance(asked, Response):
            return asked
        if asked.client.row.get("skip_authorize") == "true":
            return self._endpoints.server.consented(asked, request.actor)
        page = html.page(request, "Allow access", _question(request, asked))
        return page.with_headers({"Content-Security-Policy": policy(origin(asked.redirect_url))})

    def decide(self, request: Request) -> Response:
        """Send the user back, with a code if he allowed it."""
        if request.identity.scheme != "session":
            raise NotAuthorized("User Not Authorized", detail="Sign in with the form to consent")
        asked = self._endpoints.server.asked(request)
        if isinstance(asked, Response):
            return asked
        allowed = request.form().get("answer") == "allow"
        return self._endpoints.server.consented(asked, request.actor if allowed else None)


def leads_to(path: str) -> str:
    """Return where a path of this instance sends the user on to, for the policy of a form."""
    parts = urlsplit(path)
    if parts.path != PATH:
        return ""
    return origin(dict(parse_qsl(parts.query)).get("redirect_uri", ""))


def origin(url: str) -> str:
    """Return what a policy calls the place that a form may lead to, ``''`` for an unusual one.

    >>> origin("https://app.example.com:8443/cb?x=1"), origin("com.example.app:/cb"), origin("x y:")
    ('https://app.example.com:8443', 'com.example.app:', '')
    """
    parts = urlsplit(url)
    found = f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
    plain = found.replace(":", "").replace("/", "").replace("[", "").replace("]", "")
    plain = plain.replace(".", "").replace("-", "").replace("+", "")
    return found if plain.isascii() and plain.isalnum() else ""


def _question(request: Request, asked: Asked) -> str:
    name = asked.client.row.get("name") or asked.client.row.get("client_id")
    target = urlsplit(asked.redirect_url)
    place = target.netloc or f"an application on this device ({target.scheme})"
    kept = "".join(
        html.hidden(key, value) for key in _PARAMETERS if (value := asked.parameters.get(key))
    )
    token = html.hidden(FORM_TOKEN, request.identity.csrf)
    return html.narrow(
        f"<p><strong>{escape(name)}</strong> wants to act as you, that is as"
        f" <strong>{escape(request.actor.name)}</strong>, and do all that you may do.</p>",
        html.paragraph(f"Afterwards you are sent to {place}."),
        html.paragraph(
            "You end it by changing your password; an administrator can, too.", soft=True
        ),
        f'<form method=post action="{PATH}">{kept}{token}'
        "<button name=answer value=allow>Allow</button> "
        "<button name=answer value=deny>Deny</button></form>",
    )
