"""How results are shown: a table for people, JSON for programs, progress for whoever waits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

PIECE = 256 * 1024
_MARKS = {
    "ok": "green", "insert": "green", "complete": "green", "update": "yellow",
    "warning": "yellow", "customized": "yellow", "complete_with_errors": "yellow",
    "failed": "red", "error": "red",
}  # fmt: skip


def show_json(value: object) -> None:
    """Print a value as indented JSON."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_table(
    rows: Iterable[Mapping[str, object]], columns: Sequence[str], title: str = ""
) -> None:
    """Print rows as a table; the columns' names are their headings."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        cells = (_cell(row.get(column, "")) for column in columns)
        table.add_row(*(Text(cell, style=_MARKS.get(cell, "")) for cell in cells))
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False).print(table)


def show(
    result: Sequence[Mapping[str, object]],
    columns: Sequence[str],
    *,
    as_json: bool,
    title: str = "",
) -> None:
    """Print a list of results as a table, or as JSON."""
    if as_json:
        show_json(result)
    else:
        show_table(result, columns, title)


def say(text: str) -> None:
    """Print a line for people."""
    sys.stdout.write(text + "\n")


@contextmanager
def _progress(*columns: Any) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as it:
        yield it


@contextmanager
def upload(path: Path) -> Iterator[Iterator[bytes]]:
    """Yield a file's pieces with a bar of what was sent; afterwards a note that work goes on."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with path.open("rb") as file, _progress(*columns) as progress:
        task = progress.add_task(f"Sending {path.name}", total=path.stat().st_size)

        def pieces(stream: BinaryIO) -> Iterator[bytes]:
            while piece := stream.read(PIECE):
                yield piece
                progress.update(task, advance=len(piece))
            progress.update(task, description="The instance imports")

        yield pieces(file)


@contextmanager
def reading(path: Path) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the size of each piece read of a file, under a bar of it."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    total = path.stat().st_size if path.is_file() else None
    with _progress(*columns) as progress:
        task = progress.add_task(f"Reading {path.name}", total=total)
        yield lambda size: progress.update(task, advance=size)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something goes on whose length is not known; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    with _progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    ) as progress:
        progress.add_task(text, total=None)
        yield


def download(pieces: Iterable[bytes], path: Path) -> int:
    """Write pieces to a new file with a count of what came; return its size in bytes."""
    from rich.progress import DownloadColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    size = 0
    with path.open("xb") as file, _progress(*columns) as progress:
        task = progress.add_task(f"Writing {path.name}", total=None)
        for piece in pieces:
            file.write(piece)
            size += len(piece)
            progress.update(task, completed=size)
    return size


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
