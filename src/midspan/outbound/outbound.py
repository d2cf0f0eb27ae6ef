"""Everything that leaves the instance: connections, their transports, one client, one log."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import re
import ssl
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec.structs import asdict

from midspan.kernel.errors import Unavailable
from midspan.outbound.call import NOBODY, CallRecord, CallSource
from midspan.outbound.connection import Connection, resolve
from midspan.records import PROPERTIES, RecordStore
from midspan.security.actor import SYSTEM
from midspan.storage import StaleWork
from midspan_link.egress import EgressRules
from midspan_sdk import HttpTransport

if TYPE_CHECKING:
    from midspan_link.http import HttpClient

log = logging.getLogger(__name__)
ALLOW = "midspan.outbound.allow"
"""System property: destinations beyond the public internet, like ``Settings.egress``."""
LOG_TABLE = "sys_outbound_http_log"
_SEPARATOR = re.compile(r"[\s;]+|,(?!\d+(?:-\d+)?(?:[,;\s]|$))")
T = TypeVar("T")


class AgentRoute(Protocol):
    """What carries calls through an agent in the private network; given by the instance."""

    def transport(self, connection: Connection, source: CallSource) -> HttpTransport:
        """Return a transport through an agent that fits the connection."""
        ...


def read_rules(text: str) -> list[str]:
    """Split a list of egress rules at spaces, semicolons and commas; port lists stay whole.

    >>> read_rules("127.0.0.1:8080, *.corp:443,8000-8100;10.0.0.0/8")
    ['127.0.0.1:8080', '*.corp:443,8000-8100', '10.0.0.0/8']
    """
    return [rule for rule in _SEPARATOR.split(text) if rule]


class Outbound:
    """Hands out transports; owns the event loop that actions run in and the HTTP client.

    Both are made at the first use, and the HTTP library is imported then: it takes longer than
    the rest of an instance's start.
    """

    def __init__(self, records: RecordStore, allow: str = "") -> None:
        self._records = records
        self.clock = records.clock
        self._allow = allow
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: HttpClient | None = None
        self._rules = ""
        self._detached: set[asyncio.Task[Any]] = set()
        self.agents: AgentRoute | None = None

    def connection(self, name: str) -> Connection:
        """Resolve a connection or alias by name; see ``connection.resolve`` for the errors."""
        with self._records.read(SYSTEM, enforce=False) as transaction:
            return resolve(transaction, name)

    def transport(self, connection: Connection, source: CallSource = NOBODY) -> HttpTransport:
        """Return what carries calls through a connection.

        Raises:
            Unavailable: the connection asks for an agent and there is no way to one.
        """
        if not connection.mid_server:
            network = importlib.import_module("midspan.outbound.transport")
            clock = self.clock
            made: HttpTransport = network.OutboundTransport(
                connection, self.client, self.keep, clock, source
            )
            return made
        if self.agents is None:
            raise Unavailable(
                f"Connection {connection.name!r} goes through a MID server, and none can be used",
                hint="Set up a MID server, or clear the connection's use of one.",
            )
        return self.agents.transport(connection, source)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the outbound loop and wait for it; never called from that loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._started()).result()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Let a coroutine run in the outbound loop; ``close`` gives it ten seconds to end."""
        return asyncio.run_coroutine_threadsafe(self._kept(coroutine), self._started())

    async def _kept(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(coroutine)
        self._detached.add(task)
        try:
            return await task
        finally:
            self._detached.discard(task)

    def client(self) -> HttpClient:
        """Return the client under the egress rules of now; called in the outbound loop."""
        rules = self._text_of_rules()
        if self._client is None or rules != self._rules:
            http = importlib.import_module("midspan_link.http")
            fresh: HttpClient = http.HttpClient(EgressRules.parse(read_rules(rules)))
            self._client, self._rules = fresh, rules
        return self._client

    def client_with(self, context: ssl.SSLContext) -> HttpClient:
        """Return a client of its own for calls that show a certificate; whoever asks closes it."""
        http = importlib.import_module("midspan_link.http")
        made: HttpClient = http.HttpClient(self.rules(), verify=context)
        return made

    def rules(self) -> EgressRules:
        """Return the egress rules of now."""
        return EgressRules.parse(read_rules(self._text_of_rules()))

    def _text_of_rules(self) -> str:
        allowed = self._records.holder.current().part(PROPERTIES).get(ALLOW, "")
        return f"{self._allow};{allowed}"

    def close(self) -> None:
        """Close the connections and end the loop."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._finished(), loop).result(10)
        if self._client is not None:
            asyncio.run_coroutine_threadsafe(self._client.aclose(), loop).result(10)
            self._client = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)

    async def _finished(self) -> None:
        """Wait for the calls that nobody waits for, then for their rows in the log."""
        while self._detached:
            await asyncio.wait(self._detached)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._loop = loop
                self._thread = threading.Thread(
                    target=_serve, args=(loop,), name="outbound", daemon=True
                )
                self._thread.start()
            return self._loop

    async def keep_later(self, record: CallRecord) -> None:
        """Let the log row be written once the database has time: its writer may be our caller."""
        task = asyncio.ensure_future(self.keep(record))
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)

    async def keep(self, record: CallRecord) -> None:
        """Write the log row in a thread, since the loop belongs to all calls."""
        try:
            await asyncio.to_thread(self._write, record)
        except StaleWork:
            log.info("a call of before a reset is not in the log")
        except Exception:
            log.exception("the log row of an outbound call was not written")

    def _write(self, record: CallRecord) -> None:
        row = {
            "connection": record.connection,
            "source_table": record.source.table,
            "source_record": record.source.record,
            "call_key": record.key,
            "http_method": record.method,
            "hostname": record.host,
            "url_path": record.path[:1000],
            "request_length": str(record.sent),
            "response_status": "" if record.status is None else str(record.status),
            "response_length": str(record.received),
            "response_time": str(record.milliseconds),
            "outcome": record.outcome,
            "error": record.error[:4000],
            **(asdict(record.detail) if record.detail else {"level": "basic"}),
        }
        with self._records.write(SYSTEM, enforce=False) as transaction:
            transaction.engine_insert(LOG_TABLE, [row])


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
