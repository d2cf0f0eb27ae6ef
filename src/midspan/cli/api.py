"""``midspan api``: try an API of an instance out; its scripts as files, and back."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midspan.cli import status
from midspan.cli.options import DEFAULT_URL, AsJson, Connection, Url, User
from midspan.kernel.errors import InvalidRequest, did_you_mean

if TYPE_CHECKING:
    import httpx

    from midspan.cli.scriptfiles import Report, ScriptFolder

group = typer.Typer(help="Try APIs out; work on scripts as files.", no_args_is_help=True)
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


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where the files are.")]
Overwrite = Annotated[
    list[str] | None,
    typer.Option("--overwrite", metavar="FILE", help="Take this side for a file; several times."),
]


@group.command("pull")
def pull(  # noqa: PLR0913 - one parameter for each option
    folder: Folder,
    table: Annotated[
        list[str] | None, typer.Option(help="Only scripts of this table; several times.")
    ] = None,
    query: Annotated[str, typer.Option(help="Encoded query that selects the records.")] = "",
    overwrite: Overwrite = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Write the scripts of an instance as files; what was changed here is kept.

    Table and query are remembered with the folder.
    """
    from midspan.cli.client import Client
    from midspan.cli.scriptfiles import ScriptFolder
    from midspan.cli.scriptremote import HttpRemote

    files = ScriptFolder(folder)
    known_tables(table)
    if files.is_new or table or query:
        files.tables, files.query = tuple(table or files.tables), query or files.query
    with Client(Connection(url, user)) as client:
        report = files.pull(HttpRemote(client), files.relative(overwrite or ()))
    _told(report, as_json=as_json)


@group.command("push")
def push(
    folder: Folder,
    overwrite: Overwrite = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Bring changed files to the instance; status 1 when one was changed there, too."""
    from midspan.cli.client import Client
    from midspan.cli.scriptremote import HttpRemote

    files = pulled(folder)
    with Client(Connection(url, user)) as client:
        report = files.push(HttpRemote(client), files.relative(overwrite or ()))
    _told(report, as_json=as_json)


@group.command("watch")
def watch(
    folder: Folder,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Keep files and instance the same until Ctrl-C: both ways, conflicts reported once."""
    import threading

    from midspan.cli.client import Client
    from midspan.cli.scriptremote import HttpRemote

    files = pulled(folder)
    told: set[tuple[str, str]] = set()
    pause = threading.Event()
    with Client(Connection(url, user)) as client, suppress(KeyboardInterrupt):
        remote = HttpRemote(client)
        while True:
            rows = [*files.push(remote).rows(), *files.pull(remote).rows()]
            lasting = {
                (row["what"], row["file"]) for row in rows if row["what"] in ("conflict", "gone")
            }
            for row in rows:
                if (row["what"], row["file"]) not in told:
                    sys.stdout.write(f"{row['what']} {row['file']}\n")
            sys.stdout.flush()
            told = lasting
            pause.wait(every)


def pulled(folder: Path) -> ScriptFolder:
    """Return a folder into which scripts were pulled.

    Raises:
        InvalidRequest: none were.
    """
    from midspan.cli.scriptfiles import ScriptFolder

    files = ScriptFolder(folder)
    if files.is_new:
        raise InvalidRequest(
            f"{folder} holds no scripts of an instance",
            hint=f"Begin with: midspan api pull {folder}",
        )
    return files


def known_tables(names: list[str] | None) -> None:
    """Refuse a table whose scripts are not known.

    Raises:
        InvalidRequest: there is none of that name; the nearest is named.
    """
    from midspan.cli.scriptfiles import KINDS

    known = [kind.table for kind in KINDS]
    for name in names or ():
        if name not in known:
            hint = did_you_mean(name, known) or f"Known: {', '.join(known)}."
            raise InvalidRequest(f"Scripts of the table {name!r} are not known", hint=hint)


def _told(report: Report, *, as_json: bool) -> None:
    from midspan.cli.output import say, show

    rows = report.rows()
    if rows or as_json:
        show(rows, ("what", "file"), as_json=as_json)
    if not as_json:
        say(
            f"{len(report.pulled)} pulled, {len(report.pushed)} pushed, {report.same} the same,"
            f" {len(report.conflicts)} in conflict."
        )
    if report.conflicts:
        sys.stderr.write(
            "midspan: some files were changed on both sides; nothing was overwritten.\n"
            "  Compare, then take one side: midspan api pull or push with --overwrite FILE\n"
        )
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
