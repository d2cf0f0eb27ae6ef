"""The agent's commands: ``enrol``, ``run``, ``status``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import platform
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from midspan_link.errors import LinkError
from midspan_link.logs import JsonFormatter, send_logs
from midspan_link.protocol import Enrolled, Enrolment
from midspan_mid.agent import Agent
from midspan_mid.catalogue import find_probes
from midspan_mid.client import enrol, make_http
from midspan_mid.config import TEMPLATE, check_url, default_home, load_config
from midspan_mid.errors import IdentityRefused, NotEnrolled
from midspan_mid.home import Home, write_durably
from midspan_mid.identity import Identity
from midspan_mid.state import AgentState, load_state, save_state
from midspan_sdk.version import __version__

FAILED, REFUSED = 1, 3

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, 1 for an error, 2 for wrong usage, 3 for a refused identity."""
    arguments = _parser().parse_args(argv)
    home = Home(arguments.home)
    try:
        if arguments.command == "enrol":
            return _enrol(home, arguments)
        return _run(home) if arguments.command == "run" else _status(home)
    except LinkError as error:
        sys.stderr.write(f"midspan-mid: {error.explain()}\n")
        return REFUSED if isinstance(error, IdentityRefused) else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="midspan mid", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        "--home", type=Path, default=default_home(), help="the agent's directory (%(default)s)"
    )
    joining = commands.add_parser("enrol", parents=[place], help="join an instance with a code")
    joining.add_argument("--url", required=True, help="the instance's address")
    joining.add_argument("--code", required=True, help="the one-time code; '-' reads it from stdin")
    joining.add_argument("--name", default=socket.gethostname(), help="the agent's name")
    joining.add_argument(
        "--insecure-http", action="store_true", help="allow plain http to another machine"
    )
    commands.add_parser("run", parents=[place], help="work until SIGTERM or SIGINT")
    commands.add_parser("status", parents=[place], help="print what this home holds, as JSON")
    return parser


def _enrol(home: Home, arguments: argparse.Namespace) -> int:
    check_url(arguments.url, arguments.insecure_http)
    home.create()
    with home.locked():
        if home.state.exists():
            raise NotEnrolled(
                f"{home.root} is enrolled at {load_state(home).url} already",
                hint="Use another --home, or remove this one.",
            )
        identity = Identity.load(home) if home.key.exists() else Identity.generate()
        identity.save(home)
        code = sys.stdin.readline().strip() if arguments.code == "-" else arguments.code
        enrolled = asyncio.run(introduce(arguments.url, arguments.name, code, identity))
        if not home.config.exists():
            text = TEMPLATE.format(url=json.dumps(arguments.url), name=json.dumps(enrolled.name))
            insecure = "insecure_http: true\n" if arguments.insecure_http else ""
            write_durably(home.config, (text + insecure).encode())
        save_state(home, AgentState(enrolled.mid_sys_id, arguments.url))
    sys.stdout.write(
        f"Enrolled {enrolled.name} ({enrolled.mid_sys_id}), status {enrolled.status}.\n"
        f"An administrator validates it; what it may reach is set in {home.config}.\n"
    )
    return 0


async def introduce(
    url: str,
    name: str,
    code: str,
    identity: Identity,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Enrolled:
    """Send the enrolment with the public keys; errors as ``client.enrol``."""
    async with make_http(url, transport) as http:
        return await enrol(
            http,
            Enrolment(
                code=code,
                name=name,
                signing_key=identity.signing_text,
                sealing_key=identity.sealing_text,
                host_name=socket.gethostname(),
                ip=_own_address(url),
                os=platform.platform(terse=True),
                version=__version__,
                capabilities=sorted({probe.capability for probe in find_probes().values()}),
            ),
        )


def _run(home: Home) -> int:
    load_state(home)
    config = load_config(home)
    home.create()
    with home.locked():
        send_logs(JsonFormatter(), config.log_level, quiet=("httpx", "httpcore", "psycopg"))
        asyncio.run(_until_signal(home))
    return 0


async def _until_signal(home: Home) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Agent(home).run(stop)
    _log.info("agent ended")


def _status(home: Home) -> int:
    state = load_state(home)
    config = load_config(home)
    spooled = list(home.spool.glob("*/*.block"))
    report = {
        "name": config.name,
        "url": config.url,
        "mid_sys_id": state.mid_sys_id,
        "generation": state.generation,
        "running": home.is_locked(),
        "allow": config.allow,
        "targets": sorted(config.targets),
        "spool_jobs": len(list(home.spool.glob("*/job.json"))),
        "spool_bytes": sum(file.stat().st_size for file in spooled),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


def _own_address(url: str) -> str:
    """Return the address this machine uses towards the instance; nothing is sent."""
    try:
        target = httpx.URL(url)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((target.host, target.port or 443))
            return str(probe.getsockname()[0])
    except OSError:
        return ""
