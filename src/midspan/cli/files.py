"""``midspan apply`` and ``midspan export``: app files into an instance and out of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from midspan.cli.options import DEFAULT_URL, AsJson, Connection, Url, User
from midspan.kernel.errors import InvalidRequest

_COLUMNS = ("kind", "table", "file", "changes")
_LONGEST = 60
_TELLING = ("number", "name", "element", "value", "target_field", "operation", "short_description")
"""Fields that tell which record this is."""


def apply(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds app.yaml.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the difference.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Show what an app's files would change, then make them live without a restart."""
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json

    if as_json and not (yes or dry_run):
        raise typer.BadParameter("--json asks nothing: add --yes or --dry-run")
    files = read_files(folder)
    with Client(Connection(url, user)) as client:
        planned = client.post("/apply", {"files": files, "dry_run": True}, doing="Comparing")
        changes = any(planned["summary"][kind] for kind in ("insert", "update"))
        if not as_json:
            _show(planned)
        if changes and not dry_run and (yes or _agreed()):
            body = {"files": files, "dry_run": False}
            planned = client.post("/apply", body, doing="Applying")
            if not as_json:
                say(f"Applied {planned['app']} {planned['version']}.")
    if as_json:
        show_json(planned)


def export(  # noqa: PLR0913 - one parameter for each option
    app: Annotated[str, typer.Argument(metavar="[APP]", help="Name of an installed app.")] = "",
    table: Annotated[str, typer.Option(help="Export records of this table instead.")] = "",
    query: Annotated[str, typer.Option(help="Encoded query that selects them.")] = "",
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the files here.")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Write an app, or the records of a table, as files that ``apply`` reads."""
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json

    if bool(app) == bool(table):
        raise typer.BadParameter("Name either an app or a table with --table")
    with Client(Connection(url, user)) as client:
        wanted = {"app": app, "table": table, "query": query}
        files = client.get("/export", doing="Exporting", **wanted)["files"]
    if to is not None:
        write_files(to, files)
    if as_json:
        show_json({"files": files})
    elif to is not None:
        say(f"Wrote {len(files)} file{'' if len(files) == 1 else 's'} to {to}.")
    else:
        for path, content in files.items():
            say(f"# {path}\n{content}")


def read_files(folder: Path) -> dict[str, str]:
    """Return the texts of an app's folder by path; hidden files are left out.

    Raises:
        InvalidRequest: no such folder, no app.yaml in it, or a file that is no UTF-8 text.
    """
    if not (folder / "app.yaml").is_file():
        raise InvalidRequest(
            f"{folder} has no app.yaml", hint="Name the folder of an app; midspan advise makes one."
        )
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_dir() or any(part.startswith((".", "_")) for part in parts):
            continue
        try:
            found["/".join(parts)] = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{path} is not UTF-8 text") from error
    return found


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write files below a folder; existing ones are replaced.

    Raises:
        InvalidRequest: a path would leave the folder.
    """
    root = folder.resolve()
    for name, content in files.items():
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise InvalidRequest(f"{name} would be written outside {folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")


def _show(result: dict[str, Any]) -> None:
    from midspan.cli.output import say, show_table

    rows = [
        {**each, "changes": _changes(each)}
        for each in result["differences"]
        if each["kind"] != "same"
    ]
    if rows:
        show_table(rows, _COLUMNS, f"{result['app']} {result['version']}")
    counts = result["summary"]
    say(
        f"{counts['insert']} to insert, {counts['update']} to update, {counts['same']} the same,"
        f" {counts['customized']} customised and kept."
    )


def _changes(difference: dict[str, Any]) -> str:
    fields: dict[str, list[str]] = difference["fields"]
    if difference["kind"] == "insert":
        return _short(" ".join(fields[name][1] for name in _TELLING if name in fields))
    return "\n".join(
        f"{name}: {_short(old)} → {_short(new)}" for name, (old, new) in fields.items()
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise InvalidRequest("Nobody is here to ask", hint="Add --yes, or --dry-run to only look.")
    return typer.confirm("Apply?")
