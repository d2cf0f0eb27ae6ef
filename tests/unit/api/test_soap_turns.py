"""Sessions of SOAP clients: whose turn it is, what takes long, and what a cookie is good for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from starlette.datastructures import Headers
from tests.guard import GUARD

from midspan.api import Request, Response
from midspan.api.lane import TooManyWaiting
from midspan.api.request import Identity, query_pairs
from midspan.api.soap import turns
from midspan.api.soap.redirects import CALL_COOKIE
from midspan.api.soap.turns import SoapTurns
from midspan.kernel.clock import ManualClock
from midspan.security import Actor

from .conftest import Site, parts_of, properties

ANN = Actor(sys_id="a" * 32, user_name="ann", stamp="s1")
BO = Actor(sys_id="b" * 32, user_name="bo", stamp="s2")
SHORT = 0.004
"""What a second of the limits is here: 60 of them are 240 ms."""


class Caller:
    """Sends calls through the turnstile, with a cookie jar if it is given one."""

    def __init__(self, site: Site, *, jar: bool = True, sent_through: SoapTurns | None = None):
        self.parts = parts_of(site.instance)
        self.turns = sent_through or turns_of(site)
        self.jar: dict[str, str] = {} if jar else {"none": ""}
        self.keeps = jar

    async def call(
        self,
        work: Callable[[], Awaitable[Response]],
        body: bytes = b"<call/>",
        *,
        query: bytes = b"SOAP&redirectSupported=true",
        actor: Actor = ANN,
        prompt: Any = None,
    ) -> Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        request = Request(
            parts=self.parts,
            id="1",
            method="POST",
            sent_method="POST",
            path="/incident.do",
            query=query_pairs(query),
            headers=Headers({"cookie": cookies} if self.keeps and cookies else {}),
            base_url="http://inst.example.com",
            identity=Identity(actor, "basic"),
            body=body,
        )
        answered = await self.turns.take(request, prompt, work)
        if self.keeps:
            for cookie in answered.cookies:
                name, _, value = cookie.partition(";")[0].partition("=")
                self.jar[name] = value
                if not value:
                    del self.jar[name]
        return answered


class Slow:
    """Work that ends when it is told to."""

    def __init__(self, text: str = "done") -> None:
        self.text = text
        self.begun = 0
        self.end = asyncio.Event()

    async def __call__(self) -> Response:
        self.begun += 1
        await self.end.wait()
        return Response(200, self.text.encode())


async def quick() -> Response:
    return Response(200, b"quick")


def turns_of(site: Site, second: float = SHORT) -> SoapTurns:
    return SoapTurns(site.app.sessions, parts_of(site.instance), second=second)


def patient(site: Site) -> Caller:
    """Return a caller whose calls do not take too long, however busy the machine is."""
    return Caller(site, sent_through=turns_of(site, 1.0))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(GUARD):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


def test_calls_of_one_session_take_turns_in_their_order(site: Site) -> None:
    async def scene() -> None:
        caller, slow = patient(site), Slow()
        await caller.call(quick)
        order: list[str] = []

        async def noted(name: str) -> Response:
            order.append(name)
            return Response(200, name.encode())

        first = asyncio.create_task(caller.call(slow, b"1"))
        await until(lambda: slow.begun == 1)
        others = [
            asyncio.create_task(caller.call(lambda name=name: noted(name), name.encode()))  # type: ignore[misc]
            for name in "abc"
        ]
        await asyncio.sleep(0)
        stranger = Caller(site, sent_through=caller.turns)
        stranger.jar = dict(caller.jar)
        assert (await stranger.call(quick, actor=BO)).body == b"quick"  # another user, same cookie
        assert order == []
        slow.end.set()
        await asyncio.gather(first, *others)
        assert order == ["a", "b", "c"]

    play(scene)


def test_too_many_calls_of_one_session_are_put_off_undone(site: Site) -> None:
    async def scene() -> None:
        caller, slow = patient(site), Slow()
        await caller.call(quick)
        waiting = [
            asyncio.create_task(caller.call(slow, str(number).encode()))
            for number in range(turns.MOST_WAITING + 1)
        ]
        await until(lambda: slow.begun == 1)
        over = await caller.call(slow, b"over")
        assert over.status == 202
        assert b"nothing of this one was done" in bytes(over.body)  # type: ignore[arg-type]
        slow.end.set()
        answers = await asyncio.gather(*waiting)
        assert {answer.status for answer in answers} == {200}
        assert slow.begun == turns.MOST_WAITING + 1

    play(scene)


def test_a_short_call_is_answered_at_once_unless_one_is_before_it(site: Site) -> None:
    async def scene() -> None:
        caller, slow = patient(site), Slow()

        def prompt(_: Request) -> Response:
            return Response(200, b"prompt")

        assert (await caller.call(quick, prompt=prompt)).body == b"prompt"
        assert (await caller.call(quick, prompt=prompt)).body == b"prompt"
        first = asyncio.create_task(caller.call(slow))
        await until(lambda: slow.begun == 1)
        second = asyncio.create_task(caller.call(quick, b"2", prompt=prompt))
        await asyncio.sleep(0)
        slow.end.set()
        await first
        assert (await second).body == b"quick"

    play(scene)


def test_a_long_call_is_fetched_by_sending_it_again(site: Site) -> None:
    async def scene() -> None:
        caller, slow = Caller(site), Slow("the answer")
        await caller.call(quick)
        told = await caller.call(slow)
        assert told.status == 307
        at = "http://inst.example.com/incident.do?SOAP&redirectSupported=true"
        assert told.headers["Location"] == at
        again = await caller.call(slow)
        assert again.status == 307
        slow.end.set()
        answered = await caller.call(slow)
        assert (answered.status, answered.body, slow.begun) == (200, b"the answer", 1)
        assert CALL_COOKIE not in caller.jar
        anew = await caller.call(quick)
        assert anew.body == b"quick"  # the answer is handed out once

    play(scene)


def test_another_message_is_not_taken_for_the_one_under_way(site: Site) -> None:
    async def scene() -> None:
        caller, slow, other = Caller(site), Slow(), Slow("other")
        await caller.call(quick)
        assert (await caller.call(slow)).status == 307
        waits = asyncio.create_task(caller.call(other, b"<other/>"))
        await asyncio.sleep(0)
        assert other.begun == 0
        slow.end.set()
        other.end.set()
        assert (await waits).body == b"other"
        assert (await caller.call(slow)).body == b"done"
        assert slow.begun == 1

    play(scene)


@pytest.mark.parametrize(
    ("query", "jar", "off"),
    [
        (b"SOAP", True, {}),
        (b"SOAP&redirectSupported=true", False, {}),
        (
            b"SOAP&redirectSupported=true",
            True,
            {"glide_soapprocessor_allow__long__running__threads": "false"},
        ),
        (b"SOAP&redirectSupported=true", True, {"glide_soap_max__redirects": "0"}),
        (
            b"SOAP&redirectSupported=true",
            True,
            {"glide_soapprocessor_max__long__running__threads": "0"},
        ),
    ],
    ids=["not asked for", "no cookie", "switched off", "no more redirects", "no thread for it"],
)
def test_a_long_call_that_cannot_be_fetched_times_out(
    site: Site, query: bytes, jar: bool, off: dict[str, str]
) -> None:
    async def scene() -> None:
        caller, slow = Caller(site, jar=jar), Slow()
        await caller.call(quick, query=query)
        with properties(site, **off):
            given_up = await caller.call(slow, query=query)
        assert given_up.status == 408
        assert b"It may still go on" in bytes(given_up.body)  # type: ignore[arg-type]
        assert CALL_COOKIE not in caller.jar
        slow.end.set()

    play(scene)


def test_redirects_end(site: Site) -> None:
    async def scene() -> None:
        caller, slow = Caller(site), Slow()
        await caller.call(quick)
        seen: list[int] = []
        with properties(
            site, glide_soap_max__redirects="3", glide_soap_request__processing__timeout="5"
        ):
            while not seen or seen[-1] == 307:
                seen.append((await caller.call(slow)).status)
        assert seen == [307, 307, 307, 408]
        slow.end.set()

    play(scene)


def test_a_call_that_never_came_to_its_turn_is_not_done_later(site: Site) -> None:
    async def scene() -> None:
        caller, slow, waits = Caller(site), Slow(), Slow()
        await caller.call(quick)
        first = asyncio.create_task(caller.call(slow))
        await until(lambda: slow.begun == 1)
        given_up = await caller.call(waits, b"2", query=b"SOAP")
        assert given_up.status == 408
        assert b"nothing of it was done" in bytes(given_up.body)  # type: ignore[arg-type]
        slow.end.set()
        await first
        assert (await caller.call(quick, b"3")).body == b"quick"
        assert waits.begun == 0

    play(scene)


def test_a_message_that_another_node_works_on_is_sent_on_to_it(site: Site) -> None:
    async def scene() -> None:
        caller, slow = Caller(site), Slow()
        here, there = caller.turns, turns_of(site)
        await caller.call(quick)
        assert (await caller.call(slow)).status == 307
        caller.turns = there
        assert (await caller.call(slow)).status == 307
        assert (await caller.call(slow)).status == 307
        caller.turns = here
        slow.end.set()
        assert (await caller.call(slow)).body == b"done"
        assert slow.begun == 1

    play(scene)


def test_a_message_whose_node_is_gone_is_not_carried_out_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_BOUNCES", 2)

    async def scene() -> None:
        caller, slow = Caller(site), Slow()
        await caller.call(quick)
        assert (await caller.call(slow)).status == 307
        caller.turns = turns_of(site)
        seen = [(await caller.call(slow)).status for _ in range(3)]
        assert seen == [307, 307, 408]
        assert slow.begun == 1
        slow.end.set()

    play(scene)


def test_an_answer_that_was_thrown_away_is_not_made_again(site: Site) -> None:
    clock = site.instance.clock
    assert isinstance(clock, ManualClock)

    async def scene() -> None:
        caller, slow = Caller(site), Slow()
        await caller.call(quick)
        assert (await caller.call(slow)).status == 307
        slow.end.set()
        await until(lambda: caller.turns._inside == 0)
        clock.advance(timedelta(seconds=61))
        late = await caller.call(slow)
        assert late.status == 408
        assert slow.begun == 1
        assert (await caller.call(slow)).body == b"done"  # which was looked into
        assert slow.begun == 2

    play(scene)


def test_the_same_message_beside_one_that_is_fetched_is_another_call(site: Site) -> None:
    async def scene() -> None:
        caller, slow = Caller(site), Slow()
        await caller.call(quick)
        assert (await caller.call(slow)).status == 307
        fetched = asyncio.create_task(caller.call(slow))
        await asyncio.sleep(0)
        beside = asyncio.create_task(caller.call(slow))
        await asyncio.sleep(0)
        slow.end.set()
        assert [(await one).body for one in (fetched, beside)] == [b"done", b"done"]
        assert slow.begun == 2

    play(scene)


def test_a_call_whose_client_left_before_its_turn_is_not_done(site: Site) -> None:
    async def scene() -> None:
        caller, slow, waits = patient(site), Slow(), Slow()
        await caller.call(quick)
        first = asyncio.create_task(caller.call(slow, b"1"))
        await until(lambda: slow.begun == 1)
        gone = asyncio.create_task(caller.call(waits, b"2"))
        await asyncio.sleep(0)
        gone.cancel()
        slow.end.set()
        await first
        assert (await caller.call(quick, b"3")).body == b"quick"
        assert waits.begun == 0

    play(scene)


def test_a_cookie_of_another_node_is_a_session_of_its_own(site: Site) -> None:
    async def scene() -> None:
        caller = Caller(site)
        await caller.call(quick)
        await caller.call(quick)
        kept = dict(caller.jar)
        caller.turns = turns_of(site)
        assert (await caller.call(quick)).body == b"quick"
        assert caller.jar == kept

    play(scene)


def test_sessions_are_bounded_and_forgotten(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_SESSIONS", 3)
    clock = site.instance.clock
    assert isinstance(clock, ManualClock)

    async def scene() -> None:
        through = turns_of(site, 1.0)
        slow = Slow()
        callers = [Caller(site, sent_through=through) for _ in range(4)]
        for caller in callers:
            await caller.call(quick)
            await caller.call(quick)
        assert len(through._known) == 3
        busy = [asyncio.create_task(caller.call(slow)) for caller in callers[:3]]
        await until(lambda: slow.begun == 3)
        assert (await callers[3].call(quick)).status == 429
        slow.end.set()
        await asyncio.gather(*busy)
        clock.advance(timedelta(seconds=61))
        assert (await callers[3].call(quick)).body == b"quick"
        assert len(through._known) == 1

    play(scene)


def test_a_full_pool_is_429(site: Site) -> None:
    async def full() -> Response:
        raise TooManyWaiting

    async def scene() -> None:
        for jar in (True, False):
            answered = await Caller(site, jar=jar).call(full)
            assert (answered.status, answered.headers) == (429, {"Retry-After": "1"})

    play(scene)


def test_other_processors_do_not_take_turns(site: Site) -> None:
    async def scene() -> None:
        caller = Caller(site)
        assert (await caller.call(quick, query=b"JSONv2")).cookies == ()
        assert not caller.turns._known

    play(scene)
