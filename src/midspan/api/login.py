"""Form login and logout."""

from __future__ import annotations

from urllib.parse import urlsplit

from midspan.api import html
from midspan.api.authentication import cookie_of, refuse_other_sites
from midspan.api.consent import leads_to
from midspan.api.description import FORM as URLENCODED
from midspan.api.description import TEXT, Answer, Body, Description, members, page, query
from midspan.api.errors import error_headers
from midspan.api.frame import policy
from midspan.api.request import Request
from midspan.api.response import Response, redirect
from midspan.api.router import HandlerDecides, Public, Route
from midspan.api.sessions import Sessions, ended_cookie, session_cookie
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS
from midspan.security import SignInDelayed

_MAX_FORM = 64 * 1024


_FORM = Description(
    summary="Form to sign in",
    tag="Sign-in",
    parameters=(query("to", "Where to go afterwards."),),
    answers={200: page("The form.")},
    refuses=(400,),
)
_SUBMIT = Description(
    summary="Sign in with name and password",
    tag="Sign-in",
    body=Body(
        members(("user_name", "user_password"), user_name=TEXT, user_password=TEXT, to=TEXT),
        (URLENCODED,),
    ),
    answers={
        303: Answer("On to the page, with the cookie of a session.", headers=("Location",)),
        401: page("The form again: name or password is wrong."),
        429: page("The form again: too many attempts."),
    },
    refuses=(400, 403),
)
_LEAVE = Description(
    summary="End the session",
    tag="Sign-in",
    answers={303: Answer("On to the form.", headers=("Location",))},
    refuses=(400, 403),
)


class LoginPages:
    """The pages that start and end sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def routes(self) -> tuple[Route, ...]:
        """Return the routes, under their own names and under the vendor's."""
        public = Public("Whoever signs in has not signed in yet.")
        leaving = HandlerDecides("Leaving works with a dead session, too.")
        found: list[Route] = []
        for ending in ("", ".do"):
            found += [
                Route(
                    name=f"login{ending}.form",
                    methods=("GET",),
                    path=f"/login{ending}",
                    handler=self.show,
                    access=public,
                    page=True,
                    description=_FORM,
                ),
                Route(
                    name=f"login{ending}.submit",
                    methods=("POST",),
                    path=f"/login{ending}",
                    handler=self.submit,
                    access=public,
                    page=True,
                    description=_SUBMIT,
                    max_body=_MAX_FORM,
                ),
                Route(
                    name=f"logout{ending}",
                    methods=("POST",),
                    path=f"/logout{ending}",
                    handler=self.leave,
                    access=leaving,
                    page=True,
                    description=_LEAVE,
                    max_body=_MAX_FORM,
                ),
            ]
        return tuple(found)

    def show(self, request: Request) -> Response:
        """Show the form."""
        return _form(request, request.parameter("to"))

    def submit(self, request: Request) -> Response:
        """Check name and password; then on to the page that was wanted."""
        refuse_other_sites(request)
        given = request.form()
        rights = request.snapshot.part(RIGHTS)
        try:
            actor = request.parts.identities.sign_in(
                given.get("user_name", ""),
                given.get("user_password", ""),
                rights,
                address=request.address,
            )
        except NotAuthenticated:
            wrong = "User name or password is wrong."
            return _form(request, given.get("to", ""), wrong, status=401)
        except SignInDelayed as error:
            form = _form(request, given.get("to", ""), error.explain(), status=429)
            return form.with_headers(error_headers(error))
        session = self._sessions.start(actor)
        cookie = session_cookie(session.token, secure=request.by_https)
        return redirect(local_path(given.get("to", "")), cookies=(cookie,))

    def leave(self, request: Request) -> Response:
        """End the session of the cookie."""
        self._sessions.end(cookie_of(request))
        return redirect("/login", cookies=(ended_cookie(),))


def local_path(text: str) -> str:
    r"""Return a path of this instance, the start page for anything else.

    >>> local_path("/nav/incident?x=1"), local_path("//evil.example"), local_path("/\\evil.example")
    ('/nav/incident?x=1', '/', '/')
    """
    parts = urlsplit(text)
    plain = text.startswith("/") and not text.startswith("//") and "\\" not in text
    printable = text.isprintable() and text.isascii()
    return text if plain and printable and not parts.netloc and not parts.scheme else "/"


def _form(request: Request, to: str, problem: str = "", *, status: int = 200) -> Response:
    problem = html.paragraph(problem, problem=True) if problem else ""
    page = html.page(
        request,
        "Sign in",
        html.narrow(
            problem,
            html.form(
                "/login",
                "Sign in",
                html.hidden("to", local_path(to)),
                html.field("user_name", "User name", complete="username"),
                html.field(
                    "user_password", "Password", kind="password", complete="current-password"
                ),
            ),
        ),
        status=status,
    )
    return page.with_headers({"Content-Security-Policy": policy(leads_to(to))})
