"""Instances that the wire cases run against: both databases, in process and over a socket."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from tests.guard import GUARD

from midspan.api import ApiParts, Application, create_app
from midspan.api.cmdb import cmdb_routes
from midspan.api.scripted import ScriptedRest
from midspan.api.servlets import Servlets
from midspan.api.soap.scripted import ScriptedSoap
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

ADMIN = "6816f79cc0a8016401c5a33be04be441"
ITIL_ROLE = "282bf1fac6112285017366cb5f867469"
PEOPLE = {
    # user name: (sys_id, name, further fields, is itil)
    "ann": ("a" * 31 + "1", "Ann Example", {"email": "ann@example.com"}, False),
    "bo": ("a" * 31 + "2", "Bo Sample", {}, True),
    "zoe": (
        "a" * 31 + "3",
        "Zoe Berlin",
        {
            "time_zone": "Europe/Berlin",
            "date_format": "dd.MM.yyyy",
            "time_format": "hh:mm:ss a",
        },
        True,
    ),
    "gone": ("a" * 31 + "4", "Gone Away", {"active": "false"}, True),
}
PASSWORD = "correct horse"


class Wire:
    """Sends a case's request and returns what came back."""

    def __init__(self, instance: Instance, base: str, send: Callable[..., httpx.Response]) -> None:
        self.instance = instance
        self.base = base
        self._send = send

    def send(self, request: dict[str, Any], user: str = "admin") -> httpx.Response:
        """Send a request as a user; ``nobody`` sends no credentials."""
        headers = dict(request.get("headers") or {})
        if user != "nobody":
            token = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
            headers.setdefault("Authorization", f"Basic {token}")
        path = request["path"]
        return self._send(
            request["method"],
            f"{self.base}{path}" if path.startswith("//") else path,  # else httpx takes a host
            headers=headers,
            params=request.get("query"),
            json=request.get("json"),
            content=request.get("body"),
        )


@contextmanager
def in_process(app: Application) -> Iterator[tuple[str, Callable[..., httpx.Response]]]:
    """Call the application without a server."""
    base = "http://inst.example.com"
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)

        def send(method: str, path: str, **kwargs: Any) -> httpx.Response:
            client.cookies.clear()
            return runner.run(client.request(method, path, **given(kwargs)))

        yield base, send
        runner.run(client.aclose())
    app.close()


@contextmanager
def over_socket(app: Application) -> Iterator[tuple[str, Callable[..., httpx.Response]]]:
    """Serve the application with uvicorn on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        with httpx.Client(base_url=base, timeout=GUARD) as client:

            def send(method: str, path: str, **kwargs: Any) -> httpx.Response:
                client.cookies.clear()
                return client.request(method, path, **given(kwargs))

            yield base, send
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def given(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a case does not say; an empty query would cut the one in the path."""
    return {name: value for name, value in kwargs.items() if value is not None}


@pytest.fixture(
    scope="session",
    params=["sqlite-process", "sqlite-socket", "postgresql-process", "postgresql-socket"],
)
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    database, transport = request.param.split("-")
    url = request.getfixturevalue("new_database")() if database == "postgresql" else ""
    serve = in_process if transport == "process" else over_socket
    with open_instance(url, clock=ManualClock()) as instance:
        fill(instance)
        scripted = ScriptedRest(instance.scripts)
        soap = ScriptedSoap(instance.scripts)
        servlets = Servlets(instance.scripts)
        parts = ApiParts(
            records=instance.records,
            identities=instance.identities,
            clock=instance.clock,
            ids=instance.ids,
            pushed=instance.pushed,
            pushed_sets=instance.pushed_sets,
            scripted_soap=soap,
            servlets=servlets,
            extra_routes=(scripted.route, servlets.route, *cmdb_routes(instance.identification)),
        )
        app = create_app(parts)
        scripted.attach(app.router)
        try:
            with serve(app) as (base, send):
                yield Wire(instance, base, send)
        finally:
            scripted.close()
            soap.close()
            servlets.close()


URGENT = {1: ("1", "1"), 2: ("1", "2"), 3: ("2", "2"), 4: ("2", "3"), 5: ("3", "3")}
"""Impact and urgency from which a rule computes the priorities 1 to 5."""


def fill(instance: Instance) -> None:
    """Store the people and the incidents that the cases talk about."""
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
        for user_name, (sys_id, name, fields, itil) in PEOPLE.items():
            values = {"user_name": user_name, "name": name, "user_password": PASSWORD, **fields}
            records.apply(insert("sys_user", values, sys_id=sys_id))
            if itil:
                records.apply(insert("sys_user_has_role", {"user": sys_id, "role": ITIL_ROLE}))
        for place in range(1, 6):
            values = {
                "number": f"INC900000{place}",
                "correlation_id": "shape",
                "short_description": f"VPN drops {place}",
                "state": "2" if place % 2 else "1",
                "caller_id": PEOPLE["ann"][0] if place < 4 else "",
                "impact": URGENT[place][0],
                "urgency": URGENT[place][1],
                "opened_at": "2026-01-30 18:30:00",
                "watch_list": f"{PEOPLE['ann'][0]},{PEOPLE['bo'][0]}" if place == 1 else "",
                "business_duration": "1970-01-02 04:14:21" if place == 1 else "",
            }
            records.apply(insert("incident", values, sys_id="b" * 31 + str(place)))
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("incident", "b" * 31 + "1", {"work_notes": "First look"}))
