"""``midspan user``, ``token``, ``backup``, ``doctor`` and ``tables``."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from midspan.cli import status
from midspan.cli.options import DEFAULT_URL, AsJson, Connection, Url, User
from midspan.kernel.errors import InvalidRequest

NEW_PASSWORD = "MIDSPAN_NEW_PASSWORD"  # noqa: S105 - the name of a variable
users = typer.Typer(help="People and programs that may sign in.", no_args_is_help=True)


@users.command("add")
def add_user(  # noqa: PLR0913 - one parameter for each option
    user_name: Annotated[str, typer.Argument(help="Name to sign in with.")],
    role: Annotated[list[str] | None, typer.Option(help="Role to grant; repeat it.")] = None,
    first_name: Annotated[str, typer.Option(help="First name.")] = "",
    last_name: Annotated[str, typer.Option(help="Last name.")] = "",
    email: Annotated[str, typer.Option(help="E-mail address.")] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Add a user; the password comes from MIDSPAN_NEW_PASSWORD, or is asked."""
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json

    body: dict[str, object] = {"user_name": user_name, "roles": role or []}
    names = {"first_name": first_name, "last_name": last_name, "email": email}
    body |= {name: value for name, value in names.items() if value}
    with Client(Connection(url, user)) as client:
        body["password"] = _new_password(user_name)
        added = client.post("/users", body)
    if as_json:
        show_json(added)
    else:
        say(f"Added {added['user_name']} ({added['sys_id']}).")


def token(
    purpose: Annotated[str, typer.Argument(help="Only 'setup' exists.")] = "setup",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Make a one-time link that sets the password of admin; it is shown once."""
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json

    with Client(Connection(url, user)) as client:
        made = client.post("/tokens", {"purpose": purpose})
    if as_json:
        show_json(made)
    else:
        say(f"{made['url']}\nIt works once, until {made['expires']} UTC.")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file, e.g. backup.tar.zst.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Write records, jobs and blobs to one file; the master key is not in it."""
    from midspan.cli.client import Client
    from midspan.cli.output import download, say, show_json

    if file.exists():
        raise InvalidRequest(f"{file} exists already", hint="A backup never replaces a file.")
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with Client(Connection(url, user)) as client, client.download("/backup") as pieces:
            size = download(pieces, half)
        half.chmod(0o600)
        half.rename(file)
    finally:
        half.unlink(missing_ok=True)
    if as_json:
        show_json({"file": str(file), "bytes": size})
    else:
        say(f"Wrote {file} ({size:,} bytes). Keep the master key apart, it is not inside.")


def doctor(as_json: AsJson = False, url: Url = DEFAULT_URL, user: User = "admin") -> None:
    """Check that the instance is healthy and safely set up; status 1 when something failed."""
    from midspan.cli.client import Client
    from midspan.cli.output import show

    with Client(Connection(url, user)) as client:
        checks = client.get("/doctor", doing="Examining")
    show(checks, ("name", "status", "message", "hint"), as_json=as_json)
    if any(check["status"] == "failed" for check in checks):
        raise typer.Exit(status.FAILED)


def tables(
    name: Annotated[str, typer.Argument(metavar="[TABLE]", help="Show its fields.")] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """List the tables, or the fields of one."""
    from midspan.cli.client import Client
    from midspan.cli.output import show

    with Client(Connection(url, user)) as client:
        if not name:
            show(client.get("/tables"), ("name", "label", "extends"), as_json=as_json)
            return
        found = client.get(f"/tables/{quote(name, safe='')}")
    columns = ("name", "label", "type", "reference", "mandatory", "choices")
    rows = [
        {**field, "choices": ", ".join(f"{k} {v}" for k, v in field["choices"].items())}
        if not as_json
        else field
        for field in found["fields"]
    ]
    show(rows, columns, as_json=as_json, title=f"{found['name']} {found['extends']}".strip())


def openapi(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE]...", help="Only these tables.")
    ] = None,
    service: Annotated[
        str, typer.Option(help="Only this API of Scripted REST, like x_acme/orders.")
    ] = "",
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Print an OpenAPI 3.1 document of what the user may do."""
    from midspan.cli.client import Client

    if tables and service:
        raise typer.BadParameter("Name either tables or a service")
    with Client(Connection(url, user)) as client:
        made = client.document(
            "/api/now/doc/openapi",
            doing="Describing",
            tables=",".join(tables or ()),
            service=service,
        )
    sys.stdout.buffer.write(made + b"\n")


def _new_password(user_name: str) -> str:
    given = os.environ.get(NEW_PASSWORD)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise InvalidRequest(
            f"No password for {user_name}", hint=f"Set {NEW_PASSWORD} in the environment."
        )
    first = getpass.getpass(f"New password of {user_name}: ")
    if first != getpass.getpass("The same again: "):
        raise InvalidRequest("The two passwords differ")
    return first
