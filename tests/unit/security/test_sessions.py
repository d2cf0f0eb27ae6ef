"""Whoever is locked out, or whose password or roles change, is that on every node at once.

The nodes' clocks stand still, so nothing here can come from something that grew old.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from msgspec import Struct

from midspan.api import Application
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS, delete, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

PASSWORD = "correct horse"
ADMINISTRATORS = "/api/midspan/v1/tables"
"""What needs a role that the user is given during a test."""


class Node(Struct):
    """An instance with its HTTP surface."""

    instance: Instance
    app: Application
    runner: asyncio.Runner

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.runner.run(self._get(path, **more))

    async def _get(self, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.get(path, **more)

    def post_form(self, path: str, values: dict[str, str]) -> httpx.Response:
        return self.runner.run(self._post_form(path, values))

    async def _post_form(self, path: str, values: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.post(path, data=values)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def nodes(
    request: pytest.FixtureRequest, new_database: Callable[[], str]
) -> Iterator[tuple[Node, Node]]:
    """Return where changes are made and where the user works: two nodes, on SQLite the same."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        url = new_database() if request.param == "postgresql" else ""

        def node() -> Node:
            instance = stack.enter_context(open_instance(url, clock=ManualClock()))
            app = instance.application()
            stack.callback(app.close)
            return Node(instance, app, runner)

        here = node()
        if not url:
            yield here, here
            return
        with pytest.MonkeyPatch.context() as patch:
            key = (here.instance.settings.data / "master.key").read_text().strip()
            patch.setenv("MIDSPAN_MASTER_KEY", key)
            there = node()
        yield here, there


@pytest.fixture
def user(nodes: tuple[Node, Node]) -> str:
    """Return the sys_id of a new user with the role itil."""
    with nodes[0].instance.records.write(SYSTEM, enforce=False) as records:
        name = nodes[0].instance.ids.token(6)
        values = {"user_name": name, "user_password": PASSWORD, "active": "true"}
        sys_id = records.apply(insert("sys_user", values)).sys_id
    give(nodes[0], sys_id, "itil")
    return sys_id


def give(node: Node, user: str, role: str) -> str:
    with node.instance.records.write(SYSTEM, enforce=False) as records:
        found = records.first("sys_user_role", f"name={role}")
        assert found is not None
        values = {"user": user, "role": found.sys_id, "state": "active"}
        return records.apply(insert("sys_user_has_role", values)).sys_id


def change(node: Node, user: str, **values: str) -> None:
    with node.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_user", user, values))


def name_of(node: Node, user: str) -> str:
    with node.instance.records.read(SYSTEM, enforce=False) as records:
        return records.require("sys_user", user).get("user_name")


def basic(node: Node, user: str, password: str = PASSWORD) -> dict[str, str]:
    pair = base64.b64encode(f"{name_of(node, user)}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def by_form(node: Node, user: str) -> dict[str, str]:
    """Return the cookie of a form login."""
    given = {"user_name": name_of(node, user), "user_password": PASSWORD}
    answer = node.post_form("/login", given)
    assert answer.status_code == 303
    return {"Cookie": f"JSESSIONID={answer.cookies['JSESSIONID']}"}


def by_basic(node: Node, user: str) -> dict[str, str]:
    """Return the cookie that a program gets beside the answer to its credentials."""
    answer = node.get("/api/now/table/incident?sysparm_limit=1", headers=basic(node, user))
    assert answer.status_code == 200
    return {"Cookie": f"JSESSIONID={answer.cookies['JSESSIONID']}"}


def status(node: Node, headers: dict[str, str], path: str = "/api/now/table/incident") -> int:
    return node.get(path, params={"sysparm_limit": "1"}, headers=headers).status_code


SESSIONS = pytest.mark.parametrize("begin", [by_form, by_basic])
Begin = Callable[[Node, str], dict[str, str]]


@SESSIONS
def test_a_new_password_ends_sessions(nodes: tuple[Node, Node], user: str, begin: Begin) -> None:
    here, there = nodes
    used, unused = begin(there, user), begin(there, user)
    assert status(there, used) == 200
    change(here, user, user_password="another horse")
    assert status(there, used) == 401
    assert status(there, unused) == 401
    assert status(there, basic(there, user, "another horse")) == 200


@SESSIONS
@pytest.mark.parametrize(("field", "shut", "open_"), [
    ("locked_out", "true", "false"), ("active", "false", "true"),
])  # fmt: skip
def test_a_lock_ends_sessions_for_good(
    nodes: tuple[Node, Node], user: str, begin: Begin, field: str, shut: str, open_: str
) -> None:
    here, there = nodes
    session = begin(there, user)
    assert status(there, session) == 200
    change(here, user, **{field: shut})
    assert status(there, session) == 401
    change(here, user, **{field: open_})
    assert status(there, session) == 401, "it does not come back with the user"
    assert status(there, begin(there, user)) == 200


@SESSIONS
def test_roles_are_those_of_now(nodes: tuple[Node, Node], user: str, begin: Begin) -> None:
    here, there = nodes
    session = begin(there, user)
    assert status(there, session, ADMINISTRATORS) == 403
    grant = give(here, user, "admin")
    assert status(there, session, ADMINISTRATORS) == 200
    with here.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("sys_user_has_role", grant))
    assert status(there, session, ADMINISTRATORS) == 403
    assert status(there, session) == 200


def test_a_verified_password_is_forgotten(nodes: tuple[Node, Node], user: str) -> None:
    here, there = nodes
    old = basic(there, user)
    assert status(there, old) == 200
    change(here, user, user_password="another horse")
    assert status(there, old) == 401
    new = basic(there, user, "another horse")
    assert status(there, new) == 200
    change(here, user, locked_out="true")
    assert status(there, new) == 401


def test_an_unchanged_user_keeps_his_session(nodes: tuple[Node, Node], user: str) -> None:
    here, there = nodes
    session = by_form(there, user)
    change(here, user, email="ann@example.com", locked_out="false")
    assert status(there, session) == 200


def test_what_is_remembered_never_outlives_the_change(nodes: tuple[Node, Node], user: str) -> None:
    """Asked below HTTP: the actor that a session stands for is read anew, or refused."""
    here, there = nodes
    rights = there.instance.holder.current().part(RIGHTS)
    before = there.instance.identities.actor(user, rights)
    change(here, user, user_password="another horse")
    assert there.instance.identities.actor(user, rights).stamp != before.stamp
    change(here, user, locked_out="true")
    with pytest.raises(NotAuthenticated):
        there.instance.identities.actor(user, rights)
