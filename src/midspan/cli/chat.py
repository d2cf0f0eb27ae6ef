"""``midspan chat-receiver``: stands in for chat while a flow is tried out."""

from __future__ import annotations

from typing import Annotated

import typer

from midspan.cli import status


def chat_receiver(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8090,
) -> None:
    """Take messages as Slack would, refuse what it would refuse, and show them at /messages."""
    from midspan_spokes.slack.receiver import main

    taken = 2
    result = main(["--port", str(port)])
    raise typer.Exit(status.PORT_TAKEN if result == taken else result)
