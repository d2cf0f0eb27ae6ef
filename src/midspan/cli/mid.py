"""``midspan mid``: the agent on this machine, and the agents of an instance."""

from __future__ import annotations

from typing import Annotated

import typer

from midspan.cli.options import DEFAULT_URL, AsJson, Connection, Url, User

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
group = typer.Typer(help="MID servers: run one, or administer them.", no_args_is_help=True)
_COLUMNS = ("name", "status", "validated", "version", "host_name", "last_refreshed")


def _agent(verb: str, arguments: list[str]) -> None:
    """Hand over to the agent, which knows nothing of this package."""
    from midspan_mid.cli import main

    raise typer.Exit(main([verb, *arguments]))


@group.command("enrol", context_settings=PASS_ON, add_help_option=False)
def enrol(context: typer.Context) -> None:
    """Join an instance with a one-time code: --url URL --code CODE [--home DIR]."""
    _agent("enrol", context.args)


@group.command("run", context_settings=PASS_ON, add_help_option=False)
def run(context: typer.Context) -> None:
    """Run the agent until SIGTERM or Ctrl-C: [--home DIR]."""
    _agent("run", context.args)


@group.command("status", context_settings=PASS_ON, add_help_option=False)
def status(context: typer.Context) -> None:
    """Print what the agent's home holds, as JSON: [--home DIR]."""
    _agent("status", context.args)


@group.command("code")
def code(
    name: Annotated[str, typer.Argument(help="Name that the MID server gets.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Make a one-time enrolment code; it is shown once."""
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json

    with Client(Connection(url, user)) as client:
        made = client.post("/mid/code", {"name": name})
    if as_json:
        show_json(made)
        return
    say(f"{made['code']}\nIt works once, until {made['expires']} UTC. On the agent's machine:")
    say(f"  midspan mid enrol --url {url} --code -")


@group.command("list")
def list_servers(as_json: AsJson = False, url: Url = DEFAULT_URL, user: User = "admin") -> None:
    """List the MID servers of the instance."""
    from midspan.cli.client import Client
    from midspan.cli.output import show

    with Client(Connection(url, user)) as client:
        show(client.get("/mid/list"), _COLUMNS, as_json=as_json)


@group.command("validate")
def validate(
    name: Annotated[str, typer.Argument(help="Name of the MID server.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Trust an enrolled MID server; only then it gets work."""
    _say("validate", name, Connection(url, user), as_json=as_json)


@group.command("invalidate")
def invalidate(
    name: Annotated[str, typer.Argument(help="Name of the MID server.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Stop trusting a MID server until it is validated again."""
    _say("invalidate", name, Connection(url, user), as_json=as_json)


@group.command("withdraw")
def withdraw(
    name: Annotated[str, typer.Argument(help="Name of the MID server.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Make a MID server's key void for good; it has to enrol anew."""
    _say("withdraw", name, Connection(url, user), as_json=as_json)


def _say(verb: str, name: str, connection: Connection, *, as_json: bool) -> None:
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json

    with Client(connection) as client:
        found = client.post(f"/mid/{verb}", {"name": name})
    if as_json:
        show_json(found)
    else:
        say(f"{found['name']}: validated is now {found['validated']}.")
