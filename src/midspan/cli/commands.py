"""All commands, and how an error becomes a message and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from midspan.cli import (
    acl,
    administration,
    advice,
    api,
    ca,
    chat,
    files,
    flows,
    imports,
    mid,
    restore,
    script,
    serve,
    states,
    status,
)
from midspan.cli.options import CA
from midspan.kernel.errors import MidspanError, OutcomeUnknown

app = typer.Typer(
    name="midspan",
    help="Run an integration instance, and work with a running one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    serve.serve,
    serve.demo,
    chat.chat_receiver,
    files.apply,
    files.export,
    advice.advise,
    administration.token,
    administration.backup,
    restore.restore,
    ca.ca,
    states.reset,
    administration.doctor,
    administration.tables,
    administration.openapi,
):
    app.command()(command)
app.add_typer(mid.group, name="mid")
app.add_typer(imports.group, name="import")
app.add_typer(flows.group, name="flow")
app.add_typer(acl.group, name="acl")
app.add_typer(api.group, name="api")
app.add_typer(script.group, name="script")
app.add_typer(states.snapshots, name="snapshot")
app.add_typer(administration.users, name="user")


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", "-V", help="Print the version and stop."),
    ca_file: Annotated[
        Path | None, typer.Option("--ca", help="CA to trust the instance by; also MIDSPAN_CA.")
    ] = None,
) -> None:
    """Run an integration instance, and work with a running one."""
    if ca_file is not None:
        os.environ[CA] = str(ca_file)
    if version:
        from midspan_sdk.version import __version__

        typer.echo(f"midspan {__version__}")
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """Run the command that ``arguments`` name; every error becomes a status and a message."""
    try:
        result = get_command(app).main(list(arguments), "midspan", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else status.FAILED
    except MidspanError as error:
        return complain(error)
    except BrokenPipeError:
        return status.FAILED
    return int(result or 0)


def complain(error: MidspanError) -> int:
    """Print an error for a person; return its exit status."""
    lines = [f"midspan: {error.message}"]
    lines += [f"  {part}" for part in (error.detail, error.hint) if part]
    sys.stderr.write("\n".join(lines) + "\n")
    if isinstance(error, OutcomeUnknown):
        return status.FAILED
    return {"MS610": status.PORT_TAKEN, "MS620": status.UNREACHABLE}.get(error.code, status.REFUSED)
