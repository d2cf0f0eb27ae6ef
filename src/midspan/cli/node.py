"""Runs one node: opens the instance, listens, and stops in order.

Order at the start: refuse what cannot work, listen, lock the data directory, open the instance,
seed it, ready line. At the end: no new requests, running ones finish, background work stops, files
close.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
from msgspec import Struct, structs

from midspan.api.setup import ADMIN, setup_needed, setup_path
from midspan.apps.seed import Seed, Values, read_seed
from midspan.cli.address import is_loopback
from midspan.cli.gate import Gate
from midspan.cli.listener import Tls, listen, make_server, until_first
from midspan.cli.lock import locked
from midspan.cli.memory import HeapKeeper, bound_heaps, end_start
from midspan.instance import Instance
from midspan.kernel.clock import SystemClock
from midspan.kernel.errors import InvalidRequest, InvalidValue
from midspan.kernel.settings import Settings
from midspan.kernel.telemetry import configure_logging
from midspan.records import update
from midspan.security import SYSTEM
from midspan.security.policies import address_ranges
from midspan_sdk.version import __version__

GRACE = 25.0
"""Seconds that running requests get to finish when the node stops."""
PASSWORD = "MIDSPAN_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable

_HEADER = re.compile(r"[A-Za-z0-9-]+")
log = logging.getLogger(__name__)


class NodeOptions(Struct, frozen=True, kw_only=True):
    """What ``midspan serve`` is told beyond the instance's settings."""

    settings: Settings
    server: str = "granian"
    tls: Tls | None = None
    own_tls: bool = False
    """Make certificates, see ``authority``; ``tls_names`` are further names of them."""
    tls_names: tuple[str, ...] = ()
    ca: Path | None = None
    """The CA's file, for the ready line."""
    log_level: str = "info"
    seeds: tuple[Path, ...] = ()


def default_data() -> Path:
    """Return where an instance keeps its data when nothing is said."""
    given = os.environ.get("MIDSPAN_DATA")
    if given:
        return Path(given)
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local/share") / "midspan"


@contextmanager
def data_directory(given: Path | None, *, ephemeral: bool) -> Iterator[Path]:
    """Give an ephemeral instance a directory that goes away with it, others theirs.

    Raises:
        InvalidRequest: both a directory and ``ephemeral``.
    """
    if ephemeral:
        if given is not None:
            raise InvalidRequest(
                "--data and --ephemeral exclude each other",
                hint="An ephemeral instance leaves nothing behind.",
            )
        with tempfile.TemporaryDirectory(prefix="midspan-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    else:
        yield (given or default_data()).absolute()


def check_exposure(options: NodeOptions) -> None:
    """Refuse to send passwords in the clear over a network.

    Raises:
        InvalidRequest: the host is not loopback, and nobody encrypts.
    """
    settings = options.settings
    if settings.behind_proxy or options.tls or options.own_tls or is_loopback(settings.host):
        return
    raise InvalidRequest(
        f"Other machines can reach {settings.host}, and passwords would travel unencrypted",
        hint="Add --tls, or --tls-cert and --tls-key, or --behind-proxy when a proxy on this host"
        " or a private network ends TLS.",
    )


def check_proxies(settings: Settings) -> None:
    """Refuse to believe a certificate in a header from anybody.

    Raises:
        InvalidRequest: the header or the proxies are missing or cannot be read.
    """
    header, proxies = settings.client_cert_header, settings.trusted_proxies
    if not header and not proxies:
        return
    try:
        known = address_ranges(proxies)
    except ValueError as error:
        raise InvalidRequest(
            "--trusted-proxies cannot be read", detail=str(error), hint="10.0.0.5,10.1.0.0/16"
        ) from error
    if not known or not _HEADER.fullmatch(header):
        raise InvalidRequest(
            "--client-cert-header and --trusted-proxies belong together",
            hint="Name the header, and the addresses of the proxies that set it.",
        )


def serve(options: NodeOptions) -> None:
    """Run a node until SIGTERM or SIGINT.

    Raises:
        InvalidRequest, PortTaken, Conflict: it cannot start; nothing was changed.
    """
    bound_heaps()
    configure_logging(options.log_level)
    check_exposure(options)
    settings = options.settings
    check_proxies(settings)
    seeds = [read_seed(path) for path in options.seeds]
    with listen(settings.host, settings.port) as listener, locked(settings.data):
        options = _with_certificate(options)
        instance = Instance(settings)
        try:
            if seeds:
                _seed(instance, seeds)
            url = settings.public_url or _url(options, listener)
            instance.scripts.reachable_at(url)
            _first_start(instance, url)
            instance.keep_start()
            end_start()
            asyncio.run(_run(options, instance, listener))
        finally:
            instance.close()
    log.info("stopped")


def _seed(instance: Instance, seeds: Sequence[Seed]) -> None:
    """Apply seeds; no process that is started from here on gets the secrets they name."""
    values = Values(os.environ, plain=instance.settings.ephemeral)
    instance.seed(seeds, values)
    for name in values.used:
        os.environ.pop(name, None)


def _with_certificate(options: NodeOptions) -> NodeOptions:
    """Return the options with a certificate of the instance's own, if one is wanted."""
    if not options.own_tls:
        return options
    from midspan.cli.authority import own_certificate, served_names

    settings = options.settings
    names = served_names(settings.host, options.tls_names)
    keep = not settings.ephemeral
    tls, ca = own_certificate(settings.data, names, SystemClock().now(), keep=keep)
    return structs.replace(options, tls=tls, ca=ca)


async def _run(options: NodeOptions, instance: Instance, listener: socket.socket) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    url = _url(options, listener)
    gate = Gate(instance.application(secure=options.tls is not None))
    heaps = HeapKeeper()
    run, stop = make_server(options.server, gate, listener, options.tls)
    serving = asyncio.ensure_future(run())
    await until_first(gate.ready.wait(), serving)
    if gate.ready.is_set():
        _say_ready(url, options.ca)
        await asyncio.to_thread(instance.start_work)
        heaps.start()
        await until_first(stopping.wait(), serving)
    instance.ecc.signal.close()  # agents that wait for work are answered now
    if not await gate.drain(GRACE):
        log.warning("requests were cut off", extra={"after_seconds": GRACE})
    heaps.stop()
    stop()
    await serving


def _url(options: NodeOptions, listener: socket.socket) -> str:
    host, port = options.settings.host, listener.getsockname()[1]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened on
        host = "localhost"
    scheme = "https" if options.tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _first_start(instance: Instance, url: str) -> None:
    """Give the administrator a password, or a link to set one; never an old one a new value."""
    password = os.environ.pop(PASSWORD, "")
    if not setup_needed(instance.records):
        return
    if password:
        try:
            with instance.records.write(SYSTEM, enforce=False) as transaction:
                transaction.apply(update("sys_user", ADMIN, {"user_password": password}))
        except InvalidValue as error:
            raise InvalidRequest(f"{PASSWORD}: {error.message}", hint=error.hint) from error
        return
    path = setup_path(instance.records, instance.clock, instance.ids)
    sys.stderr.write(
        "The user admin has no password yet. This link sets one; it works once, for 15 minutes:\n"
        f"{url.rstrip('/')}{path}\n"
    )
    sys.stderr.flush()


def _say_ready(url: str, ca: Path | None) -> None:
    line = {"url": url, "pid": os.getpid(), "version": __version__}
    if ca is not None:
        line["ca"] = str(ca)
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()
