"""What the cookie of a SOAP session is good for, and calls that take long, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx

from midspan.api.soap.turns import SoapTurns
from midspan.kernel.clock import ManualClock
from midspan.security import SYSTEM

from .conftest import PASSWORD, Site, properties

SHORT = 0.004
"""What a second of the limits is here: 60 of them are 240 ms."""
BODY = b"<Envelope><Body><getKeys><__limit>1</__limit></getKeys></Body></Envelope>"


def post(site: Site, cookie: str = "", **kwargs: Any) -> httpx.Response:
    headers = {"Content-Type": "text/xml", **({"Cookie": cookie} if cookie else {})}
    return site.send("POST", "/incident.do?SOAP", content=BODY, headers=headers, **kwargs)


def cookie_in(response: httpx.Response) -> str:
    return f"JSESSIONID={response.cookies['JSESSIONID']}"


def page(site: Site, cookie: str) -> int:
    """Ask for something that a session alone may read."""
    answer = site.send("GET", "/api/now/table/incident?sysparm_limit=1", headers={"Cookie": cookie})
    return answer.status_code


def test_the_first_cookie_is_exchanged_for_one_that_stays(site: Site) -> None:
    first = post(site, user="admin")
    assert "HttpOnly" in first.headers["set-cookie"]
    assert "Secure" not in first.headers["set-cookie"]
    assert page(site, cookie_in(first)) == 401  # it was never good for anything
    second = post(site, cookie_in(first), user="admin")
    assert cookie_in(second) != cookie_in(first)
    third = post(site, cookie_in(second), user="admin")
    assert "set-cookie" not in third.headers
    assert page(site, cookie_in(second)) == 200


def test_a_cookie_does_not_stand_for_the_password(site: Site) -> None:
    with properties(site, glide_ui_rotate__sessions="false"):
        cookie = cookie_in(post(site, user="admin"))
    assert page(site, cookie) == 200
    refused = post(site, cookie)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'BASIC realm="Service-now"'


def test_a_session_that_is_not_used_ends(site: Site) -> None:
    clock = site.instance.clock
    assert isinstance(clock, ManualClock)
    with properties(
        site, glide_ui_rotate__sessions="false", glide_soap_invalidate__session__timeout="120"
    ):
        lone, kept = cookie_in(post(site, user="admin")), cookie_in(post(site, user="admin"))
        clock.advance(timedelta(seconds=100))
        assert page(site, lone) == 200
        assert "set-cookie" not in post(site, kept, user="admin").headers
        clock.advance(timedelta(seconds=100))
        assert page(site, lone) == 200  # each use counts
        assert "set-cookie" not in post(site, kept, user="admin").headers
        clock.advance(timedelta(seconds=121))
        assert page(site, lone) == 401
        assert cookie_in(post(site, kept, user="admin")) != kept


def test_a_cookie_is_secure_where_the_client_came_by_https(make_app: Callable[..., Site]) -> None:
    assert "; Secure" in post(make_app(secure=True), user="admin").headers["set-cookie"]


def test_an_insert_that_takes_long_is_done_once(site: Site) -> None:
    """The database is kept busy until the client was told to come again."""
    (route,) = (one for one in site.app.router.routes() if one.name == "processor.call")
    assert isinstance(route.turnstile, SoapTurns)
    body = b"<Envelope><Body><insert><name>Long</name></insert></Body></Envelope>"
    auth = httpx.BasicAuth("admin", PASSWORD)
    at = "http://inst.example.com/cmn_building.do?SOAP&redirectSupported=true"

    async def scene() -> httpx.Response:
        transport = httpx.ASGITransport(site.app)
        async with httpx.AsyncClient(transport=transport, auth=auth) as client:
            await client.post("http://inst.example.com/cmn_building.do?SOAP", content=BODY)
            with site.instance.records.write(SYSTEM, enforce=False):
                told = await client.post(at, content=body)
                assert told.status_code == 307
                assert told.headers["location"] == at
            return await client.post(told.headers["location"], content=body)

    turnstile, unit = route.turnstile, route.turnstile._second
    turnstile._second = SHORT
    try:
        answered = site._runner.run(scene())
    finally:
        turnstile._second = unit
    assert "insertResponse" in answered.text
    with site.instance.records.read(SYSTEM) as transaction:
        assert len(transaction.find("cmn_building", "name=Long")) == 1
