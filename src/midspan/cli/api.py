"""``midspan api``: try an API of a running instance out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midspan.cli import status
from midspan.cli.options import DEFAULT_URL, Connection, Url, User
from midspan.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    import httpx

group = typer.Typer(help="Try APIs out.", no_args_is_help=True)
_ERROR = 400


@group.command("call")
def call(  # noqa: PLR0913 - one parameter for each option
    method: Annotated[str, typer.Argument(help="GET, POST, PUT, PATCH or DELETE.")],
    path: Annotated[str, typer.Argument(help="Like x_acme/orders/7, or a path from /api on.")],
    data: Annotated[
        str, typer.Option("--data", "-d", help="Body; @FILE reads a file, - the input.")
    ] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'Name: value', several times.")
    ] = None,
    query: Annotated[
        list[str] | None, typer.Option("--query", "-q", help="name=value, several times.")
    ] = None,
    include: Annotated[
        bool, typer.Option("--include", "-i", help="Also print status and headers.")
    ] = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Send one request and print what is answered; an answer from 400 on is exit status 1."""
    from midspan.cli.client import Client

    headers = {name.strip(): text.strip() for name, text in pairs(header, ":", "Name: value")}
    content = body_of(data)
    if content and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    params = pairs(query, "=", "name=value")
    with Client(Connection(url, user)) as client:
        response = client.call(
            method.upper(),
            whole_path(path),
            headers=headers,
            content=content or None,
            **({"params": params} if params else {}),
        )
    if include:
        sys.stdout.write(f"{response.status_code} {response.reason_phrase}\n")
        sys.stdout.writelines(f"{name}: {text}\n" for name, text in response.headers.items())
        sys.stdout.write("\n")
    _print(response)
    if response.status_code >= _ERROR:
        raise typer.Exit(status.FAILED)


def whole_path(path: str) -> str:
    """Return a path from ``/api`` on.

    >>> whole_path("x_acme/orders/7"), whole_path("/api/now/table/incident")
    ('/api/x_acme/orders/7', '/api/now/table/incident')
    """
    return path if path.startswith("/") else f"/api/{path.removeprefix('api/')}"


def pairs(given: list[str] | None, mark: str, form: str) -> list[tuple[str, str]]:
    """Split ``name<mark>value`` texts.

    Raises:
        InvalidRequest: one has no name or no mark.
    """
    found = []
    for text in given or ():
        name, found_mark, value = text.partition(mark)
        if not name.strip() or not found_mark:
            raise InvalidRequest(f"{text!r} cannot be read", hint=f"Write it as {form!r}.")
        found.append((name, value))
    return found


def body_of(data: str) -> bytes:
    """Return the bytes of a body that is given as text, ``@FILE`` or ``-``.

    Raises:
        InvalidRequest: the file cannot be read.
    """
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{data[1:]} cannot be read", detail=str(error)) from error


def _print(response: httpx.Response) -> None:
    """Print a body: JSON with indents, other text as it is, bytes as bytes."""
    from midspan.cli.output import show_json

    if "json" in response.headers.get("content-type", ""):
        try:
            show_json(response.json())
        except ValueError:
            pass
        else:
            return
    sys.stdout.flush()
    sys.stdout.buffer.write(response.content)
    if response.content and sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")
