"""The agent against the instance's double: claims, runs, resumes, refuses, ends."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.guard import GUARD

from midspan_link import protocol
from midspan_link.parameters import read_results
from midspan_link.protocol import Secret
from midspan_mid.agent import Agent, Surroundings
from midspan_mid.cli import introduce
from midspan_mid.errors import EnrolmentRefused, IdentityRefused
from midspan_mid.identity import Identity
from midspan_mid.spool import SpooledJob
from midspan_mid.state import ExecutedJobs
from midspan_mid.work import Work
from midspan_sdk import ProbeContext, Struct, probe

from .conftest import URL, MidLab, eventually
from .instance_double import CODE, Offer, Refusal


def _ended(*offers: Offer) -> Any:
    return lambda: all(offer.completion is not None for offer in offers)


async def _finish(lab: MidLab, *offers: Offer, **around: Any) -> None:
    async with lab.running(**around):
        await eventually(_ended(*offers))
        await eventually(lambda: not list(lab.home.spool.iterdir()))


def test_a_code_enrols_once(lab: MidLab) -> None:
    async def scenario() -> None:
        enrolled = await introduce(URL, "lab", CODE, Identity.generate(), lab.transport)
        assert lab.instance.mids[enrolled.mid_sys_id].name == "lab"
        for code in (CODE, "wrong"):
            with pytest.raises(EnrolmentRefused, match="wrong, expired or used"):
                await introduce(URL, "other", code, Identity.generate(), lab.transport)

    asyncio.run(scenario())


def test_jdbc_reads_a_sqlite_file_by_local_name(lab: MidLab, assets_db: Path) -> None:
    async def scenario() -> None:
        await lab.enrol(targets={"inventory": {"url": f"sqlite://{assets_db}"}})
        offer = lab.instance.offer(
            "JDBCProbe", {"target": "inventory", "table": "assets"}, repeatable=True
        )
        await _finish(lab, offer)
        assert offer.completion is not None
        assert (offer.completion.state, offer.completion.rows) == ("processed", 2500)
        assert offer.rows[0] == ["1", "server\t1\nrack\\1", None]
        assert offer.rows[2] == ["3", "server\t3\nrack\\3", ""]
        columns = [(c.name, c.source_type) for c in offer.blocks[0].header.columns]
        assert columns == [("id", "integer"), ("name", "text"), ("note", "varchar(20)")]
        outputs = read_results(offer.completion.result)
        assert outputs.outputs["rows"] == "2500"
        assert outputs.parameters["target"] == "inventory"

    asyncio.run(scenario())


def test_jdbc_reads_postgresql_with_a_sealed_credential(lab: MidLab, postgres_url: str) -> None:
    directory = postgres_url.partition("host=")[2]
    url = postgres_url.replace("postgres@", "")
    query = """SELECT n AS id, NULL::numeric(8,2) AS price, repeat(md5(n::text), 30) AS pad
        FROM generate_series(1, 9000) n"""

    async def scenario() -> None:
        await lab.enrol(allow=[f"unix:{directory}", "127.0.0.1"])
        offer = lab.instance.offer(
            "JDBCProbe",
            {"connection_url": url, "query": query + ";", "credential": "inventory"},
            secrets={"inventory": Secret(user="postgres", password="unused")},
            repeatable=True,
        )
        await _finish(lab, offer)
        assert offer.completion is not None
        assert offer.completion.error_string == ""
        assert len(offer.blocks) > 5
        assert [row[0] for row in offer.rows] == [str(n) for n in range(1, 9001)]
        assert offer.blocks[0].header.columns[1].source_type == "numeric(8,2)"
        assert "unused" not in offer.completion.result

    asyncio.run(scenario())


def test_jdbc_connects_to_the_address_that_was_checked(lab: MidLab, postgres_url: str) -> None:
    """The name means nothing to this machine: only the agent's own look-up leads to the server."""
    socket = f"{postgres_url.partition('host=')[2]}/.s.PGSQL.5432"

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, out = await asyncio.open_unix_connection(socket)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, out), pump(inside, writer), return_exceptions=True)

    async def scenario() -> None:
        server = await asyncio.start_server(forward, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await lab.enrol(allow=[f"db.invalid:{port}"])
        url = f"jdbc:postgresql://db.invalid:{port}/postgres"
        parameters = {"connection_url": url, "query": "SELECT 7 AS a", "credential": "c"}
        offer = lab.instance.offer(
            "JDBCProbe", parameters, secrets={"c": Secret(user="postgres")}, repeatable=True
        )
        await _finish(lab, offer, resolve=lambda host, port: ["127.0.0.1"])
        server.close()
        assert offer.completion is not None
        assert (offer.completion.error_string, offer.rows) == ("", [["7"]])

    if "host=" not in postgres_url:
        pytest.skip("PGURL is no socket; unset it to use the server from the wheel")
    asyncio.run(scenario())


def test_ping_reaches_an_allowed_host(lab: MidLab) -> None:
    async def scenario() -> None:
        await lab.enrol(allow=["127.0.0.0/8"])
        offer = lab.instance.offer("ping", {"host": "127.0.0.1", "skip_sensor": "true"})
        await _finish(lab, offer)
        assert offer.completion is not None
        if offer.completion.error_code == "ping.not_permitted":
            pytest.skip("this user may not send echo requests; run as root to test it")
        outputs = read_results(offer.completion.result).outputs
        assert outputs["alive"] == "true"
        assert 0 < float(outputs["rtt"]) < 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("topic", "parameters", "code", "text"),
    [
        ("JDBCProb", {}, "unknown_topic", "Did you mean 'JDBCProbe'?"),
        ("Zzz", {}, "unknown_topic", "No probe for 'Zzz' here."),
        ("ping", "<parameters><!", "invalid_payload", "well-formed"),
        ("ping", '<!DOCTYPE p [<!ENTITY a "b">]><parameters/>', "invalid_payload", "document type"),
        ("ping", {"hosst": "x"}, "invalid_inputs", "Did you mean 'host'?"),
        ("ping", {"host": "10.9.9.9"}, "target_not_allowed", "10.9.9.9 is not allowed"),
        ("JDBCProbe", {"target": "nowhere", "table": "a"}, "target_not_allowed", "'nowhere'"),
        (
            "JDBCProbe",
            {"connection_url": "jdbc:postgresql://db.corp/x", "table": "a"},
            "target_not_allowed",
            "db.corp:5432 is not allowed",
        ),
        (
            "JDBCProbe",
            {"connection_url": "sqlite:///etc/passwd", "table": "a"},
            "target_not_allowed",
            "sqlite:/etc/passwd is not allowed",
        ),
        (
            "JDBCProbe",
            {"connection_url": "postgresql://127.0.0.1:1/x", "table": "a"},
            "jdbc.unreachable",
            "cannot be reached",
        ),
        (
            "JDBCProbe",
            {"target": "inventory", "query": "DROP TABLE assets"},
            "jdbc.query",
            "'drop'",
        ),
        ("JDBCProbe", {"target": "inventory", "table": "asets"}, "jdbc.query", "no such table"),
        ("JDBCProbe", {"target": "inventory"}, "invalid_inputs", "exactly one of"),
        (
            "JDBCProbe",
            {"connection_url": "postgresql://u:pw@127.0.0.1:1/x", "table": "a"},
            "invalid_inputs",
            "must not hold a password",
        ),
    ],
)
def test_what_cannot_be_done_ends_with_a_clear_error(
    lab: MidLab, assets_db: Path, topic: str, parameters: Any, code: str, text: str
) -> None:
    async def scenario() -> None:
        await lab.enrol(
            allow=["127.0.0.1:1"], targets={"inventory": {"url": f"sqlite://{assets_db}"}}
        )
        offer = lab.instance.offer(topic, parameters)
        await _finish(lab, offer)
        assert offer.completion is not None
        assert (offer.completion.state, offer.completion.error_code) == ("error", code)
        assert text in offer.completion.error_string
        if code == "target_not_allowed" and "nowhere" not in text:
            assert str(lab.home.config) in offer.completion.error_string
        assert offer.blocks == []

    asyncio.run(scenario())


def test_an_agent_that_is_not_validated_gets_no_job(lab: MidLab) -> None:
    async def scenario() -> None:
        await lab.enrol()
        (mid,) = lab.instance.mids.values()
        mid.validated = False
        offer = lab.instance.offer("ping", {"hosst": "x"})
        async with lab.running():
            await eventually(lambda: len(lab.instance.polls) >= 1 and bool(lab.instance.heartbeats))
            assert offer.claims == 0
            mid.validated = True
            await eventually(_ended(offer))
        assert lab.instance.heartbeats[0].capabilities == ["JDBC", "PING", "REST"]

    asyncio.run(scenario())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_broken_connection_neither_loses_nor_doubles_rows(
    lab: MidLab, assets_db: Path, moment: str
) -> None:
    """Every third request fails: before the instance sees it, or its answer is lost."""
    count = 0

    async def fail(method: str, path: str) -> None:
        nonlocal count
        count += 1
        if count % 3 == 0:
            raise Refusal(503, "", "try later")

    async def scenario() -> None:
        await lab.enrol(targets={"inventory": {"url": f"sqlite://{assets_db}"}})
        setattr(lab.instance, moment, fail)
        query = "SELECT id, hex(randomblob(1200)) AS pad FROM assets"
        offers = [
            lab.instance.offer(
                "JDBCProbe", {"target": "inventory", "query": query}, repeatable=True
            )
            for _ in range(4)
        ]
        await _finish(lab, *offers)
        for offer in offers:
            assert [row[0] for row in offer.rows] == [str(n) for n in range(1, 2501)]
            assert len(offer.blocks) >= 5
            assert offer.claims == 1

    asyncio.run(scenario())


def test_back_pressure_is_obeyed(lab: MidLab, assets_db: Path) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0 if seconds == 0.123 else seconds)

    async def scenario() -> None:
        await lab.enrol(targets={"inventory": {"url": f"sqlite://{assets_db}"}})
        lab.instance.pause_ms = 123
        offer = lab.instance.offer("JDBCProbe", {"target": "inventory", "table": "assets"})
        await _finish(lab, offer, sleep=sleep)
        assert pauses.count(0.123) == len(offer.blocks) > 0

    asyncio.run(scenario())


class Request(Struct, frozen=True):
    """Nothing to ask."""

    note: str = ""


class Result(Struct, frozen=True):
    """Nothing to tell."""

    done: bool


class Gate:
    """A probe that waits until it is let through, and counts its starts."""

    def __init__(self) -> None:
        self.starts = 0
        self.cancelled = 0
        self.open = asyncio.Event()

        async def wait(request: Request, ctx: ProbeContext) -> Result:
            self.starts += 1
            try:
                await self.open.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return Result(done=True)

        self.probe = probe("Gate", description="waits")(wait)


def test_a_lost_fence_drops_the_job_and_its_spool(lab: MidLab) -> None:
    async def scenario() -> None:
        await lab.enrol()
        lab.instance.lease_seconds = 1
        gate = Gate()
        offer = lab.instance.offer("Gate", {})
        async with lab.running(probes={"Gate": gate.probe}):
            await eventually(lambda: gate.starts == 1)
            lab.instance.reclaim(offer)  # another agent took it
            offer.state = "error"
            await eventually(lambda: gate.cancelled == 1)
            await eventually(lambda: not list(lab.home.spool.iterdir()))
        assert offer.completion is None

    asyncio.run(scenario())


def test_a_lease_is_renewed_while_the_probe_runs(lab: MidLab) -> None:
    async def scenario() -> None:
        await lab.enrol()
        lab.instance.lease_seconds = 1
        gate = Gate()
        offer = lab.instance.offer("Gate", {})
        async with lab.running(probes={"Gate": gate.probe}):
            await eventually(lambda: offer.renewals >= 2)
            gate.open.set()
            await eventually(_ended(offer))
        assert gate.starts == 1

    asyncio.run(scenario())


def test_a_cancelled_job_ends_as_cancelled(lab: MidLab) -> None:
    async def scenario() -> None:
        await lab.enrol()
        gate = Gate()
        offer = lab.instance.offer("Gate", {})
        async with lab.running(probes={"Gate": gate.probe}):
            await eventually(lambda: gate.starts == 1)
            lab.instance.cancel.append(offer.id)
            await eventually(_ended(offer))
        assert offer.completion is not None
        assert offer.completion.error_code == "cancelled"

    asyncio.run(scenario())


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_stopped_agent_hands_back_or_admits(lab: MidLab, repeatable: bool) -> None:
    async def scenario() -> None:
        await lab.enrol()
        gate = Gate()
        offer = lab.instance.offer("Gate", {}, repeatable=repeatable)
        async with lab.running(probes={"Gate": gate.probe}):
            await eventually(lambda: gate.starts == 1)
        if repeatable:
            assert (offer.state, offer.releases) == ("ready", ["the agent stops"])
        else:
            assert offer.completion is not None
            assert offer.completion.error_code == "outcome_unknown"
        assert list(lab.home.spool.iterdir()) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("repeatable", [True, False])
def test_stopped_while_the_start_is_noted(
    lab: MidLab, monkeypatch: pytest.MonkeyPatch, repeatable: bool
) -> None:
    """Nothing began, so the job goes back whole, whether it may run twice or not."""
    noted, stopped = threading.Event(), threading.Event()
    mark, stop = SpooledJob.mark_started, Work.stop

    def slow_mark(spooled: SpooledJob) -> None:
        mark(spooled)
        noted.set()
        assert stopped.wait(GUARD)

    def telling_stop(work: Work, code: str) -> None:
        stop(work, code)
        stopped.set()

    monkeypatch.setattr(SpooledJob, "mark_started", slow_mark)
    monkeypatch.setattr(Work, "stop", telling_stop)

    async def scenario() -> None:
        await lab.enrol()
        gate = Gate()
        offer = lab.instance.offer("Gate", {}, repeatable=repeatable)
        async with lab.running(probes={"Gate": gate.probe}):
            await eventually(noted.is_set)
        assert (offer.state, offer.releases) == ("ready", ["the agent stops"])
        assert gate.starts == 0
        assert list(lab.home.spool.iterdir()) == []
        assert offer.id not in ExecutedJobs(lab.home)

    asyncio.run(scenario())


def test_a_job_that_ran_is_never_run_again(lab: MidLab) -> None:
    async def scenario() -> None:
        await lab.enrol()
        gate = Gate()
        gate.open.set()
        offer = lab.instance.offer("Gate", {})
        await _finish(lab, offer, probes={"Gate": gate.probe})
        offer.completion, offer.state = None, "ready"  # an instance that was restored from a backup
        await _finish(lab, offer, probes={"Gate": gate.probe})
        assert offer.completion is not None
        assert offer.completion.error_code == "outcome_unknown"
        assert gate.starts == 1

    asyncio.run(scenario())


def test_a_lost_poll_answer_is_given_again(lab: MidLab) -> None:
    lost = 0

    async def lose(method: str, path: str) -> None:
        nonlocal lost
        if path.endswith("/poll") and not lost and lab.instance.offers:
            lost += 1
            raise Refusal(502, "", "gateway")

    async def scenario() -> None:
        await lab.enrol()
        gate = Gate()
        gate.open.set()
        lab.instance.after = lose
        offer = lab.instance.offer("Gate", {})
        await _finish(lab, offer, probes={"Gate": gate.probe})
        assert (lost, gate.starts, offer.claims, offer.fence) == (1, 1, 1, 1)

    asyncio.run(scenario())


def test_no_more_jobs_run_than_there_are_places(lab: MidLab) -> None:
    async def scenario() -> None:
        await lab.enrol(threads={"max": 2})
        gate = Gate()
        offers = [lab.instance.offer("Gate", {}) for _ in range(5)]
        async with lab.running(probes={"Gate": gate.probe}):
            await eventually(lambda: gate.starts == 2)
            await eventually(lambda: any(poll.free == 0 for poll in lab.instance.polls))
            assert gate.starts == 2
            gate.open.set()
            await eventually(_ended(*offers))
        assert gate.starts == 5

    asyncio.run(scenario())


def test_an_older_generation_stops_and_raises_an_issue(lab: MidLab) -> None:
    async def scenario() -> None:
        await lab.enrol()
        agent = Agent(lab.home, Surroundings(transport=lab.transport))
        task = asyncio.create_task(agent.run(asyncio.Event()))
        await eventually(lambda: len(lab.instance.polls) > 0)
        (mid,) = lab.instance.mids.values()
        mid.generation += 5
        with pytest.raises(IdentityRefused, match="generation_stale"):
            await task
        assert lab.instance.issues == ["lab: generation 1"]

    asyncio.run(scenario())


def test_another_servers_answer_keeps_the_result(lab: MidLab) -> None:
    """A captive portal answers 200 with a page: nothing is lost, nothing is taken as done."""
    portal = False

    class Portal(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if portal:
                return httpx.Response(200, text="<html>Please sign in</html>")
            return await inner.handle_async_request(request)

    async def scenario() -> None:
        nonlocal portal
        await lab.enrol()
        lab.transport = Portal()
        gate = Gate()
        offer = lab.instance.offer("Gate", {})
        async with lab.running(probes={"Gate": gate.probe}):
            await eventually(lambda: gate.starts == 1)
            portal = True
            gate.open.set()
            result = lab.home.spool / offer.id / "result.json"
            await eventually(result.exists)
            assert offer.completion is None
            portal = False
            await eventually(_ended(offer))
        assert protocol.PROTOCOL == 1

    inner = lab.transport
    asyncio.run(scenario())
