"""Sessions of SOAP clients: calls that share a cookie take turns, long ones are fetched later.

A call without a cookie begins a session, which costs nothing but its cookie (``api.sessions``). One
that brings its cookie back waits for those before it. A call that takes too long is answered 307
where its client follows that: the work goes on, and the same message, sent again with the cookie,
gets its answer. Cookies only name a session here; who calls is proved by each call.

What is known of sessions is in the memory of one process. A cookie that another node gave is a
session of its own here; a message whose work another node holds is sent on until it arrives there.
Source: ``spec/soap.md`` 4 to 6.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from msgspec import Struct, structs

from midspan.api.authentication import cookie_of
from midspan.api.lane import TooManyWaiting
from midspan.api.parts import ApiParts
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import PromptHandler
from midspan.api.sessions import PASS_SCHEME, Sessions, is_first, number_of, session_cookie
from midspan.api.soap.envelope import CONTENT_TYPE, SoapFault, fault_message
from midspan.api.soap.redirects import Mark, called_address, digest_of, mark_cookie, mark_of
from midspan.records import PROPERTIES, Snapshot

MOST_SESSIONS = 4_096
"""Sessions with a cookie that a process knows; older ones begin anew."""
MOST_WAITING = 16
"""Calls of one session that may wait for their turn."""
MOST_AT_ONCE = 512
"""Calls with a cookie that a process takes."""
MOST_BOUNCES = 60
"""How often a message is sent on to the node that holds its work, a second apart."""
_SHORTEST, _LONGEST, _USUAL = 5, 1_200, 60
"""Seconds that a session may be idle, and a call take."""


class Limits(Struct, frozen=True, kw_only=True):
    """What properties say of sessions and of long calls."""

    idle: timedelta
    ceiling: int
    """Seconds that a call may take."""
    rotates: bool
    """Whether the first cookie of a session is exchanged."""
    holds: bool
    """Whether long calls may be fetched later."""
    redirects: int
    most_held: int
    """Calls that may be held at the same time; -1: as many as there are threads."""


Work = Callable[[], Awaitable[Response]]


class _Call:
    """A call under way."""

    def __init__(self) -> None:
        self.begun = False
        self.redirects = 0
        self.task: asyncio.Task[Response]


class _Session:
    """What a process knows of one session."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.inside = 0
        """Calls that wait or are carried out."""
        self.owed: dict[str, _Call] = {}
        """By their digest calls whose client was told to come again."""
        self.fetched: set[str] = set()
        """The digests of those for which he came."""
        self.used = 0.0


class SoapTurns:
    """Lets SOAP calls through, in turn; used on one event loop.

    ``second`` is how long a second of the limits is.
    """

    def __init__(self, sessions: Sessions, parts: ApiParts, *, second: float = 1.0) -> None:
        self._sessions = sessions
        self._clock = parts.clock
        self._lives = parts.records.database.lives
        self._threads = parts.threads
        self._second = second
        self._me = parts.ids.token(9)
        self._known: OrderedDict[tuple[int, str, str], _Session] = OrderedDict()
        """By life of the database, user and number; the one used last is the last."""
        self._inside = 0

    async def take(self, request: Request, prompt: PromptHandler | None, work: Work) -> Response:
        """Answer a request by ``prompt`` or else ``work``, when it is its turn."""
        if not any(word.lower() == "soap" for word, _ in request.query):
            answered = prompt(request) if prompt else None
            return await work() if answered is None else answered
        token = cookie_of(request)
        try:
            if token:
                return await self._with_cookie(request, token, prompt, work)
            return await self._alone(request, prompt, work)
        except TooManyWaiting as error:
            return _refusal(429, "Too Many Requests", error.explain(), {"Retry-After": "1"})

    async def _alone(self, request: Request, prompt: PromptHandler | None, work: Work) -> Response:
        """Answer a call that begins a session: nobody can wait for it, and nobody come again."""
        answered = prompt(request) if prompt else None
        if answered is None:
            try:
                async with asyncio.timeout(self._ceiling(request)):
                    answered = await work()
            except TimeoutError:
                answered = _timed_out(begun=True)
        return self._with_pass(request, answered, number="", first=limits_of(request).rotates)

    async def _with_cookie(
        self, request: Request, token: str, prompt: PromptHandler | None, work: Work
    ) -> Response:
        number = number_of(token) or hashlib.sha256(token.encode()).hexdigest()
        session, fresh = self._session(request, number)
        answered = prompt(request) if prompt and not session.inside else None
        if answered is None:
            answered = await self._in_turn(request, session, work)
        if not (fresh or is_first(token)):
            return answered
        good = self._sessions.is_good(token, request.actor)
        if good and not is_first(token):
            return answered
        return self._with_pass(request, answered, number=number if good else "")

    def _session(self, request: Request, number: str) -> tuple[_Session, bool]:
        """Return the session of this number, and whether it is new to this process."""
        now, idle = self._clock.monotonic(), limits_of(request).idle.total_seconds()
        self._sweep(now - idle)
        key = (self._lives.now, request.actor.sys_id, number)
        session = self._known.get(key)
        fresh = session is None
        if session is None:
            if len(self._known) >= MOST_SESSIONS:
                self._sweep(now, most=1)
            if len(self._known) >= MOST_SESSIONS:
                raise TooManyWaiting
            session = self._known[key] = _Session()
        self._known.move_to_end(key)
        session.used = now
        return session, fresh

    def _sweep(self, before: float, most: int = 0) -> None:
        """Forget sessions that were used before, with what they are owed; ``most``, if not 0."""
        gone: list[tuple[int, str, str]] = []
        for key, session in self._known.items():
            if session.used > before or (most and len(gone) == most):
                break
            if not session.inside and not (most and session.owed):
                gone.append(key)
        for key in gone:
            del self._known[key]

    async def _in_turn(self, request: Request, session: _Session, work: Work) -> Response:
        digest = digest_of(request) if _follows(request) else ""
        mark = mark_of(request) if digest else None
        call = session.owed.pop(digest, None) if digest else None
        if call is None:
            if mark is not None and mark.digest == digest and digest not in session.fetched:
                return await self._not_here(request, mark)
            if session.inside > MOST_WAITING:
                return _overflow()
            call = self._begun(session, work)
        answered = await self._awaited(request, session, call, digest)
        return answered if answered.status == 307 else _unmarked(answered, request, mark)

    async def _awaited(
        self, request: Request, session: _Session, call: _Call, digest: str
    ) -> Response:
        """Return the answer of a call, or that it takes too long; without digest it is given up."""
        if call.redirects:
            session.fetched.add(digest)
        try:
            await asyncio.wait({call.task}, timeout=self._ceiling(request))
        except asyncio.CancelledError:  # the client went away, and may still come again
            if call.redirects:
                session.owed[digest] = call
            elif not call.begun:
                call.task.cancel()
            raise
        finally:
            session.fetched.discard(digest)
        if call.task.done():
            return call.task.result()
        if digest and self._may_hold(request, call):
            call.redirects += 1
            session.owed[digest] = call
            return _come_again(request, Mark(digest, self._me, 0))
        if not call.begun:
            call.task.cancel()
        return _timed_out(begun=call.begun)

    def _begun(self, session: _Session, work: Work) -> _Call:
        """Start a call that waits for its turn; it goes on when nobody waits for it any more."""
        if self._inside >= MOST_AT_ONCE:
            raise TooManyWaiting
        call = _Call()
        call.task = asyncio.create_task(self._turn(session, call, work))
        call.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return call

    async def _turn(self, session: _Session, call: _Call, work: Work) -> Response:
        session.inside += 1
        self._inside += 1
        try:
            async with session.turn:
                call.begun = True
                return await work()
        finally:
            session.inside -= 1
            self._inside -= 1
            session.used = self._clock.monotonic()

    def _may_hold(self, request: Request, call: _Call) -> bool:
        """Tell whether a call may go on while its client is told to come again."""
        limits = limits_of(request)
        most = self._threads if limits.most_held < 0 else limits.most_held
        held = sum(len(session.owed) for session in self._known.values())
        return call.redirects < limits.redirects and held < most

    async def _not_here(self, request: Request, mark: Mark) -> Response:
        """Send a message on that another node works on; that node may be gone.

        One that was worked on here, and whose answer was given or thrown away, is not carried out
        once more: nobody knows whether that is meant.
        """
        if mark.node == self._me or mark.bounces >= MOST_BOUNCES:
            return _unmarked(_timed_out(begun=True), request, mark)
        await asyncio.sleep(self._second)
        return _come_again(request, structs.replace(mark, bounces=mark.bounces + 1))

    def _with_pass(
        self, request: Request, answered: Response, *, number: str, first: bool = False
    ) -> Response:
        """Give a session its cookie; only to those who sent a password, which may be locked."""
        if request.identity.scheme != PASS_SCHEME:
            return answered
        token = self._sessions.pass_for(
            request.actor, limits_of(request).idle, number=number, first=first
        )
        cookie = session_cookie(token, secure=request.by_https)
        return structs.replace(answered, cookies=(*answered.cookies, cookie))

    def _ceiling(self, request: Request) -> float:
        return limits_of(request).ceiling * self._second


def limits_of(request: Request) -> Limits:
    """Return what the properties say now."""
    return request.snapshot.derive(_limits)


def _limits(snapshot: Snapshot) -> Limits:
    properties: Mapping[str, str] = snapshot.part(PROPERTIES)

    def number(name: str, usual: int) -> int:
        text = properties.get(name, "").strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else usual

    def is_on(name: str) -> bool:
        return properties.get(name, "").strip().lower() != "false"

    def seconds(name: str) -> int:
        return min(max(number(name, _USUAL), _SHORTEST), _LONGEST)

    return Limits(
        idle=timedelta(seconds=seconds("glide.soap.invalidate_session_timeout")),
        ceiling=seconds("glide.soap.request_processing_timeout"),
        rotates=is_on("glide.ui.rotate_sessions"),
        holds=is_on("glide.soapprocessor.allow_long_running_threads"),
        redirects=number("glide.soap.max_redirects", 20),
        most_held=number("glide.soapprocessor.max_long_running_threads", -1),
    )


def _follows(request: Request) -> bool:
    """Tell whether a client says that it comes again where it is told to, and may."""
    return request.flag("redirectSupported") and limits_of(request).holds


def _come_again(request: Request, mark: Mark) -> Response:
    limits = limits_of(request)
    life = timedelta(seconds=limits.ceiling) + limits.idle
    cookie = mark_cookie(mark, life, secure=request.by_https)
    return Response(307, headers={"Location": called_address(request)}, cookies=(cookie,))


def _unmarked(answered: Response, request: Request, mark: Mark | None) -> Response:
    """Return a last answer, which takes the mark of its message back."""
    if mark is None:
        return answered
    cookie = mark_cookie(None, timedelta(), secure=request.by_https)
    return structs.replace(answered, cookies=(*answered.cookies, cookie))


def _timed_out(*, begun: bool) -> Response:
    told = "It was waiting for other calls of its session, and nothing of it was done."
    if begun:
        told = "It may still go on, and then succeeds or fails as a whole. Look before you repeat."
    return _refusal(408, "Request Timeout", told, {})


def _overflow() -> Response:
    told = "Too many calls of this session are waiting, and nothing of this one was done."
    return Response(202, told.encode(), "text/plain;charset=UTF-8", {"Retry-After": "1"})


def _refusal(status: int, text: str, detail: str, headers: dict[str, str]) -> Response:
    return Response(status, fault_message(SoapFault(text, detail)), CONTENT_TYPE, headers)
