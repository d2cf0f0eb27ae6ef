"""What the demo shows in the terminal: a line while a scenario runs, a block after it, a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from midspan.demo.scenario import Result, Say, Scenario

_LIVE = 8
"""Frames in a second."""


@contextmanager
def running(console: Console, scenario: Scenario) -> Iterator[Say]:
    """Show what a scenario is doing, in one line that goes away when it ended."""
    title = escape(scenario.title)
    spinner = Spinner("dots", text=title)
    with Live(spinner, console=console, transient=True, refresh_per_second=_LIVE):
        yield lambda line: spinner.update(text=f"{title}: [dim]{escape(line)}[/]")


def show(console: Console, result: Result, url: str) -> None:
    """Print all there is to know of a result, one line each."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", min_width=19)
    grid.add_column(overflow="fold")
    for name, text in _lines(result, url):
        grid.add_row(f"  {name}", escape(text))
    console.print(f"{_mark(result)} [bold]{escape(result.scenario.title)}[/]")
    console.print(grid)
    if result.shown:
        # A grid would break the address in two, and then it cannot be clicked.
        console.print(f"  look at            {url}{result.shown.evidence[0].page}", soft_wrap=True)


def _lines(result: Result, url: str) -> Iterator[tuple[str, str]]:
    yield "direction", f"{result.scenario.direction} ({result.scenario.opened_by})"
    if result.shown is None:
        yield "problem", result.problem
        return
    yield "went in", result.shown.went_in
    yield "came out", result.shown.came_out
    yield "cause to effect", _time(result)


def results_table(results: Sequence[Result], url: str) -> Table:
    """Return the table that the demo ends with; a failed one says why."""
    held = sum(result.held for result in results)
    table = Table(
        title=f"Results: {held} of {len(results)} held",
        caption=f"All of it on one page: {url}/",
        show_lines=True,
    )
    table.add_column("")
    for name in ("Integration", "Direction", "Went in", "Came out"):
        table.add_column(name, overflow="fold")
    table.add_column("Time", justify="right", no_wrap=True)
    for result in results:
        shown = result.shown
        table.add_row(
            _mark(result),
            escape(result.scenario.title),
            escape(result.scenario.direction),
            escape(shown.went_in) if shown else "",
            escape(shown.came_out) if shown else f"[red]{escape(result.problem)}[/]",
            _time(result),
        )
    return table


def _mark(result: Result) -> str:
    return "[green]✓[/]" if result.held else "[red]✗[/]"


def _time(result: Result) -> str:
    if result.shown is None:
        return "-"
    seconds = result.shown.seconds
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
