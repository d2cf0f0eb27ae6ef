"""``midspan import``: rows of a file, or of a source that the instance knows, to records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from midspan.cli import status
from midspan.cli.options import DEFAULT_URL, AsJson, Connection, Url, User
from midspan.kernel.errors import InvalidRequest

group = typer.Typer(help="Load rows into records.", no_args_is_help=True)
_TOTALS = ("total", "inserts", "updates", "ignored", "skipped", "errors")


@group.command("run")
def run(
    what: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A scheduled import, or a .csv file.")
    ],
    source: Annotated[
        str, typer.Option(help="Data source to load a file through (default: of its app).")
    ] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Load a CSV file, or run a scheduled import now; show what became of the rows."""
    from midspan.cli.client import Client
    from midspan.cli.output import show_json, upload

    path = Path(what)
    is_file = path.suffix.lower() == ".csv"
    if is_file:
        if not path.is_file():
            raise InvalidRequest(f"There is no file {path}")
        source = source or source_of(path)
    with Client(Connection(url, user)) as client:
        if is_file:
            with upload(path) as pieces:
                headers = {"Content-Type": "text/csv"}
                route = f"/import/{quote(source, safe='')}"
                result = client.send(route, pieces, headers=headers)
        else:
            result = client.post("/imports/run", {"name": what}, doing=f"Running {what}")
    if as_json:
        show_json(result)
    else:
        _show(result["runs"])
    if any(found["state"] == "error" for found in result["runs"]):
        raise typer.Exit(status.FAILED)


def source_of(file: Path) -> str:
    """Return the data source that the app around a file defines.

    Raises:
        InvalidRequest: the file is in no app, or its app has none or several.
    """
    from midspan.apps.document import read_yaml

    folder = file.resolve().parent.parent / "imports"
    names = []
    for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
        data = read_yaml(path.read_bytes(), str(path))
        source = data.get("source") if isinstance(data, dict) else None
        if isinstance(source, dict) and source.get("name"):
            names.append(str(source["name"]))
    if len(names) != 1:
        found = f"Its app has {', '.join(names)}." if names else "The file is in no app."
        raise InvalidRequest(
            f"Which data source reads {file}?", detail=found, hint="Name it with --source."
        )
    return names[0]


def _show(runs: list[dict[str, Any]]) -> None:
    from midspan.cli.output import show_table

    rows = [{"map": each.get("map", ""), "state": each["state"], **each["totals"]} for each in runs]
    show_table(rows, ("map", "state", *_TOTALS))
    for each in runs:
        if each["errors"]:
            show_table(each["errors"], ("row", "reason"), "Rows that did not come in")
