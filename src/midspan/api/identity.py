"""Who am I: ``/api/now/ui/user/current_user``. Source: ``spec/rest-api.md`` 7.6."""

from __future__ import annotations

from midspan.api.description import BOTH, Answer, Description, result, texts
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Route, SignedIn, versioned
from midspan.api.table import answer
from midspan.security import SYSTEM


def identity_routes() -> tuple[Route, ...]:
    """Return the route that tells clients whose credentials they have."""
    return versioned(
        Route(
            name="current_user",
            methods=("GET",),
            path="/api/now/ui/user/current_user",
            handler=current_user,
            access=SignedIn(),
            description=_CURRENT,
        )
    )


_USER = texts("user_avatar", "user_sys_id", "user_name", "user_display_name", "user_initials")
_CURRENT = Description(
    summary="Who am I",
    tag="Small interfaces",
    answers={200: Answer("Your names.", result(_USER), BOTH)},
    refuses=(400, 406),
)


def current_user(request: Request) -> Response:
    """Answer the names of the caller; what he may read of ``sys_user`` does not matter here."""
    form = response_form(request)
    actor = request.actor
    shown = actor.name or actor.user_name
    with request.parts.records.read(SYSTEM, enforce=False) as transaction:
        record = transaction.get("sys_user", actor.sys_id)
    return answer(
        {
            "user_avatar": record.get("avatar") if record is not None else "",
            "user_sys_id": actor.sys_id,
            "user_name": actor.user_name,
            "user_display_name": shown,
            "user_initials": initials(shown),
        },
        form,
    )


def initials(name: str) -> str:
    """Return the first letters of the first and the last word of a name.

    >>> initials("System Administrator"), initials("ann"), initials("")
    ('SA', 'A', '')
    """
    words = name.split()
    return "".join(word[0] for word in dict.fromkeys((*words[:1], *words[1:][-1:]))).upper()
