"""First start: a link that sets the administrator's password, good once and for 15 minutes."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta

from midspan.api import html
from midspan.api.description import FORM as URLENCODED
from midspan.api.description import Answer, Body, Description, page, query, texts
from midspan.api.request import Request
from midspan.api.response import Response, redirect
from midspan.api.router import Public, Route
from midspan.api.sessions import Sessions, session_cookie
from midspan.dictionary import Storage
from midspan.dictionary.values import datetime_text, parse_datetime
from midspan.kernel.clock import Clock
from midspan.kernel.errors import InvalidRequest, InvalidValue, NotAuthorized
from midspan.kernel.ids import IdSource
from midspan.records import RIGHTS, Record, RecordStore, RecordTransaction, update
from midspan.security import SYSTEM
from midspan.storage import Statements

LIFETIME = timedelta(minutes=15)
PURPOSE = "setup"
ADMIN = "6816f79cc0a8016401c5a33be04be441"
SHORTEST = 8
_TABLE = "sys_token"


def setup_needed(records: RecordStore) -> bool:
    """Tell whether the administrator has no password yet."""
    with records.read(SYSTEM, enforce=False) as transaction:
        admin = transaction.get("sys_user", ADMIN)
        return admin is not None and not admin.get("user_password")


def setup_path(records: RecordStore, clock: Clock, ids: IdSource) -> str:
    """Make a new link and return its path; links made before stop working."""
    token = ids.token()
    row = {
        "token_hash": _digest(token),
        "purpose": PURPOSE,
        "user": ADMIN,
        "name": "Set-up link",
        "expires": datetime_text(clock.now() + LIFETIME),
    }
    with records.write(SYSTEM, enforce=False) as transaction:
        for old in transaction.find(_TABLE, f"purpose={PURPOSE}"):
            transaction.engine_delete(_TABLE, old.sys_id)
        transaction.engine_insert(_TABLE, [row])
    return f"/setup?token={token}"


_SHOW = Description(
    summary="Form of the set-up link",
    tag="Sign-in",
    parameters=(query("token", "Of the link.", required=True),),
    answers={200: page("The form.")},
    refuses=(400, 403),
)
_SUBMIT = Description(
    summary="Set the administrator's password",
    tag="Sign-in",
    body=Body(texts("token", "password", "again"), (URLENCODED,)),
    answers={
        303: Answer("On to the start page, signed in.", headers=("Location",)),
        400: page("The form again: what is wrong with the password."),
    },
    refuses=(403,),
)


class SetupPage:
    """The form behind the link."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def routes(self) -> tuple[Route, ...]:
        """Return the form and its submission."""
        access = Public("The token of the link is the credential; it is good once.")
        return (
            Route(
                name="setup.form",
                methods=("GET",),
                path="/setup",
                handler=self.show,
                access=access,
                page=True,
                description=_SHOW,
            ),
            Route(
                name="setup.submit",
                methods=("POST",),
                path="/setup",
                handler=self.submit,
                access=access,
                page=True,
                description=_SUBMIT,
                max_body=64 * 1024,
            ),
        )

    def show(self, request: Request) -> Response:
        """Show the form to somebody with a live link."""
        token = request.parameter("token")
        with request.parts.records.read(SYSTEM, enforce=False) as transaction:
            _live(transaction, token)
        return _form(request, token)

    def submit(self, request: Request) -> Response:
        """Set the password, use up the link and sign the administrator in."""
        given = request.form()
        token, password = given.get("token", ""), given.get("password", "")
        records = request.parts.records
        try:
            _check(password, given.get("again", ""))
            with records.write(SYSTEM, enforce=False) as transaction:
                _use(transaction, _live(transaction, token))
                transaction.apply(update("sys_user", ADMIN, {"user_password": password}))
        except InvalidValue as error:
            return _form(request, token, error.message)
        request.parts.identities.forget()
        actor = request.parts.identities.actor(ADMIN, request.snapshot.part(RIGHTS))
        session = self._sessions.start(actor)
        return redirect("/", cookies=(session_cookie(session.token, secure=request.by_https),))


def _check(password: str, again: str) -> None:
    if len(password) < SHORTEST:
        raise InvalidValue(f"The password needs at least {SHORTEST} characters.")
    if password != again:
        raise InvalidValue("The two passwords differ.")


def _live(transaction: RecordTransaction, token: str) -> Record:
    """Return the row of a token that may still be used.

    Raises:
        NotAuthorized: it never existed, was used, or is too old; all alike.
    """
    digest = _digest(token)
    row = transaction.first(_TABLE, f"token_hash={digest}")
    alive = (
        row is not None
        and hmac.compare_digest(row.get("token_hash"), digest)
        and row.get("purpose") == PURPOSE
        and not row.get("used")
        and parse_datetime(row.get("expires")) > transaction.now
    )
    if row is None or not alive:
        raise NotAuthorized(
            "This set-up link is not valid",
            detail="It works once and for 15 minutes. Restart the instance for a new one.",
        )
    return row


def _use(transaction: RecordTransaction, row: Record) -> None:
    """Mark the token as used; of two requests at the same time only one gets through."""
    database = transaction.database
    sql = Statements("midspan.api", "tokens", database.dialect)["use_token"]
    now = database.dialect.bind(Storage.DATETIME, datetime_text(transaction.now))
    if database.execute(sql, (now, row.sys_id)) != 1:
        raise InvalidRequest("This set-up link was used a moment ago")


def _form(request: Request, token: str, problem: str = "") -> Response:
    return html.page(
        request,
        "Set the administrator's password",
        html.narrow(
            html.paragraph(problem, problem=True) if problem else "",
            html.paragraph(
                f"The user is called admin. The password needs at least {SHORTEST} characters."
            ),
            html.form(
                "/setup",
                "Set password and sign in",
                html.hidden("token", token),
                html.field("password", "New password", kind="password", complete="new-password"),
                html.field("again", "The same again", kind="password", complete="new-password"),
            ),
        ),
        status=400 if problem else 200,
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
