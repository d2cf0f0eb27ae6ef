"""``midspan flow``: flows, their runs with every step, and rehearsals."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from midspan.cli import status
from midspan.cli.options import DEFAULT_URL, AsJson, Connection, Url, User

group = typer.Typer(help="Look at flows and their runs, and rehearse them.", no_args_is_help=True)
_RUN = ("sys_id", "name", "state", "source_table", "source_record", "started", "run_time", "error")
_STEP = ("path", "kind", "state", "duration_ms", "inputs", "outputs", "error")


@group.command("list")
def list_flows(as_json: AsJson = False, url: Url = DEFAULT_URL, user: User = "admin") -> None:
    """List the flows."""
    from midspan.cli.client import Client
    from midspan.cli.output import show

    with Client(Connection(url, user)) as client:
        columns = ("internal_name", "name", "active", "description")
        show(client.get("/flows"), columns, as_json=as_json)


@group.command("runs")
def runs(
    flow: Annotated[str, typer.Argument(metavar="[FLOW]", help="Only runs of this flow.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most runs to show.")] = 20,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """List runs, the latest first."""
    from midspan.cli.client import Client
    from midspan.cli.output import show

    with Client(Connection(url, user)) as client:
        found = client.get("/flows/runs", flow=flow, limit=str(limit))
    show(found, _RUN, as_json=as_json)


@group.command("show")
def show_run(
    run: Annotated[str, typer.Argument(help="sys_id of a run.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Show every step of a run: what went in, what came out, how long it took."""
    from midspan.cli.client import Client
    from midspan.cli.output import show_json, show_table

    with Client(Connection(url, user)) as client:
        found = client.get(f"/flows/runs/{quote(run, safe='')}")
    if as_json:
        show_json(found)
        return
    show_table([found], _RUN)
    show_table(found["steps"], _STEP, "Steps")


@group.command("test")
def rehearse(
    flow: Annotated[str, typer.Argument(help="Name of the flow.")],
    record: Annotated[str, typer.Argument(help="Number or sys_id of a record of its table.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Show what a flow would do with a record; nothing is sent or written."""
    from midspan.cli.client import Client
    from midspan.cli.output import show_json, show_table

    with Client(Connection(url, user)) as client:
        found = client.post("/flows/test", {"flow": flow, "record": record})
    if as_json:
        show_json(found)
    else:
        show_table(found["steps"], ("path", "kind", "inputs", "problem"), f"{flow}, {record}")
    if any(step["problem"] for step in found["steps"]):
        raise typer.Exit(status.FAILED)
