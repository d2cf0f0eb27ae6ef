"""``midspan reset`` and ``midspan snapshot``: back to a saved state of a running instance."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer
from typer.core import TyperGroup

from midspan.cli.options import DEFAULT_URL, AsJson, Connection, Url, User


class _Named(TyperGroup):
    """``midspan snapshot NAME`` saves: what is none of the verbs is the name of a snapshot."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            args = ["save", *args]
        return super().resolve_command(ctx, args)


snapshots = typer.Typer(
    cls=_Named, help="Save the state of an instance, and go back to it.", no_args_is_help=True
)


def reset(as_json: AsJson = False, url: Url = DEFAULT_URL, user: User = "admin") -> None:
    """Go back to the state right after the start, seeds included; at once."""
    _go_back("/reset", "Back at the start", Connection(url, user), as_json=as_json)


@snapshots.command("save")
def save(
    name: Annotated[str, typer.Argument(help="Name of the new snapshot.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Save the present state under a new name."""
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json

    with Client(Connection(url, user)) as client:
        saved = client.post("/snapshots", {"name": name}, doing="Saving")
    if as_json:
        show_json(saved)
    else:
        say(f"Saved {saved['name']}.")


@snapshots.command("restore")
def restore(
    name: Annotated[str, typer.Argument(help="Name of a snapshot.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Go back to a snapshot."""
    path = f"/snapshots/{quote(name, safe='')}/restore"
    _go_back(path, f"Back at {name}", Connection(url, user), as_json=as_json)


@snapshots.command("list")
def list_snapshots(as_json: AsJson = False, url: Url = DEFAULT_URL, user: User = "admin") -> None:
    """List the snapshots; that of the start is there by itself."""
    from midspan.cli.client import Client
    from midspan.cli.output import show

    with Client(Connection(url, user)) as client:
        found = client.get("/snapshots")
    show(found, ("name", "created"), as_json=as_json)


@snapshots.command("delete")
def delete(
    name: Annotated[str, typer.Argument(help="Name of a snapshot.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Forget a snapshot."""
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json

    with Client(Connection(url, user)) as client:
        client.delete(f"/snapshots/{quote(name, safe='')}")
    if as_json:
        show_json({"name": name})
    else:
        say(f"Deleted {name}.")


def _go_back(path: str, said: str, connection: Connection, *, as_json: bool) -> None:
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json

    with Client(connection) as client:
        state: dict[str, Any] = client.post(path, doing="Going back")
    if as_json:
        show_json(state)
    else:
        say(f"{said}, in {state['milliseconds']:.0f} ms.")
