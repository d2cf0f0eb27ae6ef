"""Who gets what from every route: the live instance against the reviewed matrix.

Each route and method is asked by an administrator, a user with the role itil, one without roles,
somebody without credentials, and a holder of mid_server; the matrix holds the status of each
answer. After a route came or changed, write it anew and review the difference:

    .venv/bin/python tests/architecture/test_role_matrix.py
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import httpx

from midspan.api import Application
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import delete, insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

MATRIX = Path(__file__).with_name("role_matrix.txt")
ADMIN = "6816f79cc0a8016401c5a33be04be441"
PASSWORD = "correct horse"
INCIDENT = "b" * 32
ROLES = {"admin": "", "itil": "itil", "none": "", "anonymous": "", "mid_server": "mid_server"}
"""Columns, with the role that the user of this name gets."""
ARGUMENTS = {
    "table": "incident",
    "sys_id": INCIDENT,
    "staging_table": "imp_user",
    "classname": "cmdb_ci",
}
"""What stands for the arguments of a path; any other one is ``x``."""
KEYS = "<Envelope><Body><getKeys/></Body></Envelope>"
ASKED = {
    # method and path: the query and the body, where the usual ones would tell nothing
    "GET /{table}.do": ("WSDL", None),
    "POST /{table}.do": ("SOAP", KEYS),
    **{
        f"POST /api/now/{version}import/{{staging_table}}/insertMultiple": ("", '{"records": []}')
        for version in ("", "v1/", "v2/")
    },
}
HEAD = """\
# What every route answers to whom: METHOD PATH | the status for each user; see the test.
# Bodies are {}, {table} is incident, {sys_id} an incident, {staging_table} imp_user,
# {classname} cmdb_ci, others x;
# {table}.do is asked for its WSDL, and for the keys of its records; insertMultiple gets no rows.
# Write it anew and review the difference:
#   .venv/bin/python tests/architecture/test_role_matrix.py
"""


def test_every_route_answers_each_role_as_reviewed() -> None:
    reviewed = [text for text in MATRIX.read_text().splitlines() if text and text[0] != "#"]
    assert list(rows()) == reviewed, (
        f"Review: .venv/bin/python {Path(__file__).name}, then git diff"
    )


def rows() -> Iterator[str]:
    """Yield the lines of the matrix of a fresh instance, sorted by path and method."""
    with open_instance(clock=ManualClock()) as instance, asyncio.Runner() as runner:
        _people(instance)
        app = instance.application()
        pairs = {(route.path, method) for route in app.router.routes() for method in route.methods}
        for path, method in sorted(pairs):
            found = []
            for who in ROLES:
                _renew(instance)
                found.append(f"{who}={runner.run(_status(app, method, path, who))}")
            yield f"{method} {path} | {' '.join(found)}"
        app.close()


def _people(instance: Instance) -> None:
    with instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
        for name, role in ROLES.items():
            if name in ("admin", "anonymous"):
                continue
            values = {"user_name": name, "name": name, "user_password": PASSWORD}
            user = records.apply(insert("sys_user", values)).sys_id
            if role:
                known = records.first("sys_user_role", f"name={role}")
                assert known is not None, role
                grant = {"user": user, "role": known.sys_id}
                records.apply(insert("sys_user_has_role", grant))


def _renew(instance: Instance) -> None:
    """Have the incident back that a request may have deleted."""
    with instance.records.write(SYSTEM, enforce=False) as records:
        if records.get("incident", INCIDENT) is not None:
            records.apply(delete("incident", INCIDENT))
        records.apply(insert("incident", {"short_description": "x"}, sys_id=INCIDENT))


async def _status(app: Application, method: str, path: str, who: str) -> int:
    url = re.sub(r"\{([a-z_]+)(:path)?\}", lambda name: ARGUMENTS.get(name[1], "x"), path)
    body: str | None = "{}" if method in ("POST", "PUT", "PATCH") else None
    query, body = ASKED.get(f"{method} {path}", ("", body))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://inst.example",
        auth=None if who == "anonymous" else (who, PASSWORD),
        headers={"Content-Type": "application/json"} if body else {},
    ) as client:
        return (
            await client.request(method, f"{url}?{query}" if query else url, content=body)
        ).status_code


if __name__ == "__main__":
    MATRIX.write_text(HEAD + "".join(f"{row}\n" for row in rows()))
