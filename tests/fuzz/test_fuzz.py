"""A few thousand hostile requests with each test run; ``make fuzz`` sends 100,000."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from midspan.api import Application, Public, Request, Response, Route, Router, SignedIn
from midspan.security import SYSTEM

from .hostile import RECORD, TRICKS, Attack, Attacker
from .siege import (
    ADMIN,
    CANARY,
    TABLES,
    Bounds,
    Siege,
    Tally,
    exceeded,
    fortress,
    targets_of,
    told,
)

COUNT = 3_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest) -> Iterator[Application]:
    sqlite = request.param == "sqlite"
    with fortress("" if sqlite else request.getfixturevalue("new_database")()) as found:
        yield found


def test_nothing_hostile_breaks_it(app: Application) -> None:
    tables = set(app.parts.records.holder.current().dictionary.tables)
    siege = Siege(app, seed=20_261_129)
    tally = asyncio.run(siege.run(range(COUNT)))
    assert tally.problems == []
    assert sum(tally.statuses.values()) == COUNT
    assert {200, 201, 400, 401, 403, 404, 405, 406, 415} <= tally.statuses.keys()
    assert {"values", "paths", "override", "bodies", "queries", "credentials", "heavy"} == (
        tally.kinds.keys()
    )
    with app.parts.records.read(SYSTEM, enforce=False) as records:
        assert set(records.dictionary.tables) == tables
        admin = records.require("sys_user", ADMIN)
        assert (admin.get("active"), admin.get("user_name")) == ("true", "admin")
        assert len(records.find("problem", f"short_description={CANARY}")) == 1


def test_the_same_number_is_the_same_attack(app: Application) -> None:
    one, other = (Attacker(targets_of(app), TABLES, 7) for _ in range(2))
    backwards = [other.attack(number) for number in range(299, -1, -1)]
    assert [one.attack(number) for number in range(300)] == backwards[::-1]
    assert one.attack(1) != Attacker(targets_of(app), TABLES, 8).attack(1)


def test_no_trick_with_a_path_opens_what_is_closed(app: Application) -> None:
    siege = Siege(app, seed=1)
    closed = ("/api/now/table/incident", f"/api/now/v2/table/incident/{RECORD}", "/nav/incident")
    for path in closed:
        for trick in TRICKS:
            for method in ("GET", "POST", "HEAD"):
                raw = trick(path).encode("latin-1", "replace")
                status, body = asyncio.run(
                    siege.send(Attack(kind="paths", user="nobody", method=method, path=raw))
                )
                assert status >= 300, (method, raw)
                assert status < 500, (method, raw)
                assert CANARY.encode() not in body


@pytest.fixture
def careless(app: Application) -> Iterator[Application]:
    """The application with a route that fails, one that tells secrets, and one that lets in."""

    def fail(request: Request) -> Response:
        raise RuntimeError("a defect")

    def tell(request: Request) -> Response:
        return Response(200, CANARY.encode(), "text/plain")

    routes = (
        Route(name="t.a", methods=("GET",), path="/t/fail", handler=fail, access=SignedIn()),
        Route(name="t.b", methods=("GET",), path="/t/tell", handler=tell, access=SignedIn()),
        Route(name="t.c", methods=("GET",), path="/t/open", handler=tell, access=Public("test")),
    )
    before = app.router
    app.router = Router((*before.routes(), *routes))
    yield app
    app.router = before


@pytest.mark.parametrize(
    ("user", "path", "problem"),
    [
        ("ann", b"/t/fail", "answered 500"),
        ("ann", b"/t/tell", "shows what its reader may not read"),
        ("nobody", b"/t/open", "somebody unknown"),
    ],
)
def test_it_sees_what_must_not_happen(
    app: Application, careless: Application, user: str, path: bytes, problem: str
) -> None:
    """The siege learned its open paths before the careless routes came."""
    present = careless.router
    careless.router = Router(tuple(r for r in present.routes() if not r.name.startswith("t.")))
    siege = Siege(careless, seed=1)
    careless.router = present
    attack = Attack(kind="values", user=user, method="GET", path=path)
    status, body = asyncio.run(siege.send(attack))
    assert any(problem in found for found in siege.problems(attack, status, body))


def test_only_a_missing_pg_dump_may_be_unavailable(app: Application) -> None:
    siege = Siege(app, seed=1)
    attack = Attack(kind="values", user="admin", method="POST", path=b"/api/midspan/v1/backup")
    old = b'{"error":{"message":"pg_dump failed","detail":"server version mismatch"}}'
    assert list(siege.problems(attack, 503, old)) == []
    busy = b'{"error":{"message":"The database is busy","detail":null},"status":"failure"}'
    assert list(siege.problems(attack, 503, busy)) == [f"answered 503: {busy!r}"]


def test_a_siege_fails_on_its_limits(app: Application, capsys: pytest.CaptureFixture[str]) -> None:
    siege = Siege(app, seed=1, late=0.5)
    attack = Attack(kind="values", user="admin", method="GET", path=b"/")
    for took in (0.4, 0.6, 3.0):
        siege.judge(1, attack, 200, b"", took)
    siege.tally.peak = 60 * 2**20
    assert told(siege.tally, [], Bounds(seconds=0.5)) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "limit: 60 MB above idle, at most 50 are wanted",
        "limit: 2 answers took more than 0.5 s, the slowest 3.00 s",
    ]
    assert told(siege.tally, [], Bounds(0, 0)) == 0
    assert not list(exceeded(Tally(), Bounds()))
