"""``midspan script``: run a background script on an instance, read the log, check files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from midspan.cli import scriptcheck, status
from midspan.cli.options import DEFAULT_URL, AsJson, Connection, Url, User
from midspan.kernel.errors import InvalidRequest

group = typer.Typer(help="Run and check scripts, and read their log.", no_args_is_help=True)
group.command("check")(scriptcheck.check)
LEVELS = {"debug": "-1", "info": "0", "warning": "1", "error": "2"}
_NAMES = {number: name for name, number in LEVELS.items()}
_COLUMNS = ("time", "level", "script", "line", "message", "rows", "duration")


@group.command("run")
def run(
    file: Annotated[str, typer.Argument(help="The script; - reads the input.")],
    acting: Annotated[
        str, typer.Option("--as", metavar="USER", help="Act for this user; else --user.")
    ] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Run a background script; its log and its value are printed. Status 1 when it fails."""
    from midspan.cli.client import Client
    from midspan.cli.output import show_json

    text = sys.stdin.read() if file == "-" else read_script(Path(file))
    name = "script" if file == "-" else Path(file).name
    with Client(Connection(url, user)) as client:
        body = {"script": text, "name": name, "user": acting}
        found = client.post("/scripts/run", body, doing="Running")
    if as_json:
        show_json(found)
    else:
        _show(found, text)
    if found["error"] is not None:
        raise typer.Exit(status.FAILED)


@group.command("log")
def log(
    script: Annotated[str, typer.Argument(metavar="[SCRIPT]", help="Only names with this.")] = "",
    level: Annotated[str, typer.Option(help="debug, info, warning or error, and above.")] = "info",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most lines to show.")] = 50,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Show what scripts wrote to the log, the latest last, with script and line."""
    import json

    from midspan.cli.client import Client
    from midspan.cli.output import show

    with Client(Connection(url, user)) as client:
        found = client.document(
            "/api/now/table/syslog",
            sysparm_query=log_query(script, level),
            sysparm_limit=str(limit),
            sysparm_exclude_reference_link="true",
        )
    rows = [_line(row) for row in reversed(json.loads(found)["result"])]
    show(rows, _COLUMNS, as_json=as_json)


def log_query(script: str, level: str) -> str:
    """Return the encoded query for lines of a script.

    >>> log_query("orders", "warning")
    'level>=1^sourceLIKEorders^ORDERBYDESCsys_created_on^ORDERBYDESCsys_id'

    Raises:
        InvalidRequest: there is no such level.
    """
    if level not in LEVELS:
        raise InvalidRequest(f"There is no level {level!r}", hint=f"Known: {', '.join(LEVELS)}.")
    named = f"^sourceLIKE{script.replace('^', '^^')}" if script else ""
    return f"level>={LEVELS[level]}{named}^ORDERBYDESCsys_created_on^ORDERBYDESCsys_id"


def read_script(path: Path) -> str:
    """Return the text of a script.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read", detail=str(error)) from error


def _line(row: dict[str, Any]) -> dict[str, str]:
    return {
        "time": row.get("sys_created_on", ""),
        "level": _NAMES.get(row.get("level", ""), row.get("level", "")),
        "script": row.get("source", ""),
        "line": row.get("line", ""),
        "message": row.get("message", ""),
        "rows": row.get("rows", ""),
        "duration": row.get("duration", ""),
    }


def _show(found: dict[str, Any], text: str) -> None:
    """Print log and value; on the side how long it took, and the line at which it failed."""
    from midspan.cli.output import say, show_json

    for line in found["log"]:
        mark = "" if line["level"] == "info" else f"{line['level']}: "
        say(f"*** Script: {mark}{line['text']}")
    if found["value"] is not None:
        show_json(found["value"])
    sys.stdout.flush()
    error = found["error"]
    if error is not None:
        place = f"{error['script']}; line {error['line']}" if error["line"] else error["script"]
        sys.stderr.write(f"midspan: {error['message']}\n  {place}\n")
        lines = text.splitlines()
        if error["line"] and error["line"] <= len(lines):
            sys.stderr.write(f"  {lines[error['line'] - 1].strip()[:200]}\n")
    sys.stderr.write(f"{found['milliseconds']} ms, {found['writes']} writes, as {found['user']}\n")
