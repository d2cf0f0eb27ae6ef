"""``midspan serve`` and ``midspan demo``: start an instance in this process."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midspan.kernel.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from midspan.cli.listener import Tls

LEVELS = ("debug", "info", "warning", "error")


def serve(  # noqa: PLR0913 - one parameter for each option
    data: Annotated[
        Path | None,
        typer.Option(
            help="Keep everything here (default: $MIDSPAN_DATA or ~/.local/share/midspan)."
        ),
    ] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Leave nothing behind.")] = False,
    database: Annotated[
        str, typer.Option(envvar="MIDSPAN_DATABASE", help="postgresql://… for the records.")
    ] = "",
    allow_reset: Annotated[
        bool, typer.Option("--allow-reset", help="Let admin go back to saved states; for tests.")
    ] = False,
    seed: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="What a new instance begins with; repeat it."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8080,
    public_url: Annotated[str, typer.Option(help="What links in answers start with.")] = "",
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy ends TLS; trust its X-Forwarded-*.")
    ] = False,
    client_cert_header: Annotated[
        str, typer.Option(help="Header in which a trusted proxy hands on a client's certificate.")
    ] = "",
    trusted_proxies: Annotated[
        str, typer.Option(help="Addresses of those proxies, with commas between them.")
    ] = "",
    tls_cert: Annotated[Path | None, typer.Option(exists=True, help="Certificates, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(exists=True, help="Private key, PEM.")] = None,
    own_tls: Annotated[
        bool, typer.Option("--tls", help="TLS with a CA of its own, see midspan ca.")
    ] = False,
    tls_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further host name of its certificate; repeat it."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Requests at the same time.")] = 8,
    server: Annotated[str, typer.Option(help="granian or uvicorn.")] = "granian",
    log_level: Annotated[str, typer.Option(help=", ".join(LEVELS) + ".")] = "info",
) -> None:
    """Run an instance until SIGTERM or Ctrl-C; print one JSON line when it is ready."""
    from midspan.cli import node
    from midspan.kernel.settings import Settings

    if log_level not in LEVELS:
        raise typer.BadParameter(
            f"{log_level} is none of {', '.join(LEVELS)}", param_hint="--log-level"
        )
    tls = _certificate(tls_cert, tls_key, own=own_tls, names=tls_name or ())
    _check_database(database, allow_reset=allow_reset)
    with node.data_directory(data, ephemeral=ephemeral) as folder:
        settings = Settings(
            data=folder,
            database=database,
            ephemeral=ephemeral,
            allow_reset=allow_reset,
            host=host,
            port=port,
            public_url=public_url,
            behind_proxy=behind_proxy,
            client_cert_header=client_cert_header,
            trusted_proxies=trusted_proxies,
            threads=threads,
        )
        node.serve(
            node.NodeOptions(
                settings=settings,
                server=server,
                tls=tls,
                own_tls=own_tls,
                tls_names=tuple(tls_name or ()),
                log_level=log_level,
                seeds=tuple(seed or ()),
            )
        )


def _certificate(
    certificate: Path | None, key: Path | None, *, own: bool, names: Sequence[str]
) -> Tls | None:
    """Return the files that were named; options that do not go together are refused."""
    from midspan.cli.listener import Tls

    if (certificate is None) != (key is None):
        raise typer.BadParameter("--tls-cert and --tls-key belong together")
    if own and certificate:
        raise typer.BadParameter("--tls makes a certificate, --tls-cert names one: give only one")
    if names and not own:
        raise typer.BadParameter("--tls-name is a name for the certificate of --tls")
    return Tls(certificate, key) if certificate and key else None


def _check_database(database: str, *, allow_reset: bool) -> None:
    if database and not database.startswith(("postgresql://", "postgres://")):
        raise InvalidRequest(
            "--database is no PostgreSQL URL", hint="postgresql://user:password@host/name"
        )
    if database and allow_reset:
        raise InvalidRequest(
            "--allow-reset is for SQLite: on PostgreSQL there is no way back to a saved state",
            hint="Leave --database out, or give each run a new database.",
        )


def demo(
    data: Annotated[Path | None, typer.Option(help="Keep what the demo makes here.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 0,
    exit_after: Annotated[bool, typer.Option("--exit", help="Stop after the scenarios.")] = False,
) -> None:
    """Run the demonstration: integrations end to end, with processes of their own."""
    if importlib.util.find_spec("midspan.demo.run") is None:
        raise Unavailable(
            "This installation has no demonstration", hint="It comes with the repository."
        )
    from rich.console import Console

    module = importlib.import_module("midspan.demo.run")
    result = module.demo(data=data, port=port, exit_after=exit_after, console=Console())
    raise typer.Exit(result)
