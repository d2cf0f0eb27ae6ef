"""``midspan script check``: what in a folder does not parse, or calls what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midspan.cli import status
from midspan.cli.options import AsJson
from midspan.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from midspan.scripting.check import Report
    from midspan.scripting.recordfiles import RecordScript

_LONGEST = 4 * 1024 * 1024
_STRANGERS = 20
_HINT = "Scripts are files that end in .js, or in records that were exported as XML."


def check(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="With scripts and update sets; or one file.")
    ],
    parity: Annotated[
        bool, typer.Option("--parity", help="Also list each API method that is called.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find syntax errors and unknown API calls in scripts, without an instance; then status 1."""
    from midspan.cli.output import show_json
    from midspan.scripting.check import SYNTAX, Check, Finding, open_reader

    scripts, unread = _scripts(folder)
    with open_reader() as reader:
        report = Check(reader).run(scripts)
    report.files += len(unread)
    report.findings += [Finding(name, 1, 1, SYNTAX, why, "") for name, why in unread]
    if as_json:
        show_json(as_document(report))
    else:
        _show(report, parity=parity)
    if report.findings:
        raise typer.Exit(status.FAILED)


def _scripts(folder: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return name and text of each script, and which files of a folder cannot be read, and why.

    One of a record is called ``FILE: TABLE NAME``.

    Raises:
        InvalidRequest: there is none, or the only file cannot be read.
    """
    found: dict[str, str] = {}
    unread: list[tuple[str, str]] = []
    for name, path in script_files(folder):
        try:
            _add_scripts(found, name, path)
        except InvalidRequest as error:
            if folder.is_file():
                raise
            unread.append((name, error.detail or error.message))
    if not found and not unread:
        raise InvalidRequest(f"There is no script in {folder}", hint=_HINT)
    return list(found.items()), unread


def _add_scripts(found: dict[str, str], name: str, path: Path) -> None:
    if path.suffix.lower() != ".xml":
        found[name] = _text(path)
        return
    for script in _record_scripts(path):
        title = f"{name}: {script.title}"
        found[title if title not in found else f"{title} ({script.sys_id})"] = script.text


def _record_scripts(path: Path) -> list[RecordScript]:
    from midspan.kernel.errors import MidspanError
    from midspan.scripting.recordfiles import holds_records, record_scripts

    try:
        data = path.read_bytes()
        return record_scripts(data) if holds_records(data) else []
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read", detail=str(error)) from error
    except MidspanError as error:
        raise InvalidRequest(f"{path} cannot be read", detail=error.explain()) from error


def script_files(folder: Path) -> list[tuple[str, Path]]:
    """Return the scripts and XML files of a folder by their paths in it.

    Hidden folders and packages are not looked at.

    Raises:
        InvalidRequest: there is no such folder, or no such file in it.
    """
    if folder.is_file():
        return [(folder.name, folder)]
    if not folder.is_dir():
        raise InvalidRequest(f"There is no folder {folder}")
    found = []
    for path in sorted((*folder.rglob("*.js"), *folder.rglob("*.xml"))):
        inside = path.relative_to(folder)
        skipped = any(part.startswith(".") or part == "node_modules" for part in inside.parts)
        if path.is_file() and not skipped:
            found.append((inside.as_posix(), path))
    if not found:
        raise InvalidRequest(f"There is no script in {folder}", hint=_HINT)
    return found


def as_document(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it."""
    from msgspec import to_builtins

    from midspan.scripting.check import MISSING, PARTIAL, SUPPORTED, UNKNOWN

    return {
        "files": report.files,
        "client": report.client,
        "calls": {kind: report.count(kind) for kind in (SUPPORTED, PARTIAL, MISSING, UNKNOWN)},
        "findings": to_builtins(report.findings),
        "parity": to_builtins(report.uses),
        "others": report.others,
    }


def _text(path: Path) -> str:
    """Return the text of a script; bytes that are no UTF-8 are replaced."""
    try:
        if path.stat().st_size > _LONGEST:
            raise InvalidRequest(f"{path} is larger than 4 MB", hint="It is no script; move it.")
        return path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read", detail=str(error)) from error


def _show(report: Report, *, parity: bool) -> None:
    from midspan.cli.output import say
    from midspan.scripting.check import MISSING, PARTIAL, SUPPORTED, UNKNOWN, by_class

    for found in report.findings:
        say(f"{found.file}:{found.line}:{found.column}: {found.kind}: {found.message}")
        say(f"    {found.source}")
    if parity:
        for owner, uses in by_class(report.uses).items():
            say(owner)
            for use in uses:
                say(
                    f"  {use.status} {use.method} {use.count}"
                    + (f": {use.note}" if use.note else "")
                )
    if report.others:
        names = list(report.others)
        more = f" and {len(names) - _STRANGERS} more" if len(names) > _STRANGERS else ""
        say(f"Expected as script includes: {', '.join(names[:_STRANGERS])}{more}.")
    if report.client:
        say(f"{len(report.client)} of other places (browser, Node.js): only parsed.")
    counts = ", ".join(
        f"{report.count(kind)} {kind}" for kind in (SUPPORTED, PARTIAL, MISSING, UNKNOWN)
    )
    say(f"{report.files} scripts, API calls: {counts}.")
