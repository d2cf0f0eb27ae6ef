"""Messages through a MID server: the job, the probe that carries it out, and who waits for it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from midspan.ecc.enrolment import MidServer
from midspan.instance import Instance
from midspan.sandbox import Script, ScriptError
from midspan.scripting import Enclosed, PerWrite
from midspan.security import SYSTEM
from midspan_link import protocol
from midspan_link.parameters import Results, read_parameters, write_results
from midspan_mid.access import AllowList
from midspan_mid.context import JobContext
from midspan_mid.home import Home
from midspan_mid.identity import Identity
from midspan_mid.probes.rest import rest
from midspan_mid.targets import Targets
from midspan_sdk import SdkError

from .conftest import make
from .peer import Peer

SECRET = "s3cret-Pa55"
NUMBERS = itertools.count(1)


class Agent:
    """An enrolled, validated agent that works when a test tells it to."""

    def __init__(self, instance: Instance, folder: Path) -> None:
        self.instance = instance
        self.identity = Identity.generate()
        name = f"mid{next(NUMBERS)}"
        enrolments = instance.enrolments
        enrolled = enrolments.enrol(
            protocol.Enrolment(
                code=enrolments.issue_code(name, SYSTEM).code,
                name=name,
                signing_key=self.identity.signing_text,
                sealing_key=self.identity.sealing_text,
                ip="10.0.0.7",
                capabilities=["REST"],
            )
        )
        enrolments.validate(name, SYSTEM)
        enrolments.seen(enrolments.find(enrolled.mid_sys_id))
        self.mid: MidServer = enrolments.find(enrolled.mid_sys_id)
        self.allow = AllowList.parse(("127.0.0.1",), "mid.yaml")
        self._home = Home(folder)
        self.payloads: list[str] = []

    def work(self) -> None:
        """Wait for one job, carry it out with the real probe and complete it."""
        request = protocol.PollRequest(1, [rest.topic], [])
        pause = threading.Event()
        while not (jobs := self.instance.ecc.claim(self.mid, request).jobs):
            pause.wait(0.01)
        (job,) = jobs
        self.payloads.append(job.payload)
        raw = read_parameters(job.payload)
        targets = Targets(self._home, {}, self.allow)
        context = JobContext(job, targets, cast(Any, None), self.identity, self.mid.sys_id)
        outputs, code, text = {}, "", ""
        try:
            result = asyncio.run(rest.run(raw, context))
            outputs = {name: str(value) for name, value in result.items()}
        except SdkError as error:
            code, text = error.code, error.message
        completion = protocol.Completion(
            fence=job.fence,
            state="error" if code else "processed",
            blocks=0,
            rows=0,
            digest=protocol.output_digest([]),
            started=datetime(2026, 1, 31, tzinfo=UTC),
            duration_ms=1,
            result=write_results(Results(outputs, raw, 1, 0, text)),
            error_code=code,
            error_string=text,
        )
        self.instance.ecc.complete(self.mid, job.id, completion)


@pytest.fixture
def agent(instance: Instance, tmp_path: Path) -> Agent:
    return Agent(instance, tmp_path)


def ask(instance: Instance, body: str) -> Any:
    script = Script("test", f"(function () {{ {body} }})()")
    return instance.scripts.run(script, unit=PerWrite(instance.records, SYSTEM))


def with_agent(agent: Agent, body: str) -> Any:
    """Run a script while the agent carries out one job."""
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(agent.work)
        found = ask(agent.instance, body)
        working.result(60)
    return found


def message(agent: Agent, url: str, more: str = "") -> str:
    return (
        "var rm = new sn_ws.RESTMessageV2(); rm.setHttpMethod('post');"
        f"rm.setEndpoint('{url}'); rm.setMIDServer('{agent.mid.name}');"
        f"rm.setRequestHeader('X-One', 'grüße'.length); rm.setRequestBody('hällo'); {more}"
    )


def test_an_agent_carries_a_message(instance: Instance, peer: Peer, agent: Agent) -> None:
    url = peer.answer("/mid", 404, b"\xff\x00 gone", Set_Cookie=["a=1", "b=2"])
    profile = make(instance, "sys_auth_profile_basic", name="p", username="u", password=SECRET)
    body = message(agent, url, f"rm.setAuthenticationProfile('basic', '{profile}');")
    body += (
        "var r = rm.execute(); return [r.getStatusCode(), r.haveError(), r.getErrorMessage(),"
        "r.getCookies().size(), r.getHeader('set-cookie')];"
    )
    error = "Method failed: (/mid) with code: 404"
    assert with_agent(agent, body) == [404, True, error, 2, "b=2"]
    call = peer.last()
    assert (call.method, call.body, call.headers["x-one"]) == ("POST", "hällo".encode(), "5")
    assert call.headers["authorization"].startswith("Basic ")
    assert SECRET not in agent.payloads[0]
    with instance.records.read(SYSTEM) as transaction:
        (row,) = transaction.find("sys_outbound_http_log", "url_path=/mid")
        assert (row.get("connection"), row.get("response_status")) == ("MID server", "404")
        queued = transaction.find("ecc_queue", "topic=RESTProbe")
        assert SECRET not in str([dict(each.values) for each in queued])


def test_the_agents_own_list_decides(instance: Instance, peer: Peer, agent: Agent) -> None:
    agent.allow = AllowList.parse(("10.0.0.1:443",), "mid.yaml")
    body = message(agent, f"{peer.url}/no")
    found = with_agent(
        agent,
        body + "var r = rm.execute(); return [r.getStatusCode(), r.haveError(),"
        "r.getErrorMessage()];",
    )
    assert found[:2] == [0, True]
    assert "127.0.0.1" in found[2]
    assert peer.calls == []


def test_a_redirect_through_an_agent_is_the_answer(peer: Peer, agent: Agent) -> None:
    url = peer.answer("/moved", 302, Location="http://127.0.0.1:9/")
    body = message(agent, url) + "return rm.execute().getStatusCode();"
    assert with_agent(agent, body) == 302


def test_who_does_not_wait_finds_the_answer_in_the_queue(
    instance: Instance, peer: Peer, agent: Agent
) -> None:
    body = message(agent, f"{peer.url}/async", "rm.setEccCorrelator('mine');")
    assert with_agent(agent, body + "return rm.executeAsync().getBody();") == "fine"
    script = Script("test", f"(function () {{ {body} rm.executeAsync(); }})()")
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        instance.scripts.run(script, unit=Enclosed(transaction))
    asking = Script("test", f"(function () {{ {body} rm.executeAsync().getBody(); }})()")
    with (
        pytest.raises(ScriptError, match="when the transaction is committed"),
        instance.records.write(SYSTEM, enforce=False) as transaction,
    ):
        instance.scripts.run(asking, unit=Enclosed(transaction))
    agent.work()
    with instance.records.read(SYSTEM) as transaction:
        query = "topic=RESTProbe^queue=input^agent_correlator=mine"
        assert len(transaction.find("ecc_queue", query)) == 2


def test_what_no_job_may_carry(instance: Instance, peer: Peer, agent: Agent) -> None:
    for more, words in (
        ("rm.setBasicAuth('u', 'p');", "profile"),
        ("rm.setRequestHeader('Authorization', 'Bearer x');", "profile"),
        ("rm.setAuthenticationProfile('oauth2', 'x');", "oauth2"),
        ("rm.saveResponseBodyAsAttachment('incident', 'x', 'y');", "attachment"),
        ("rm.setMIDServer('nobody');", "nobody"),
    ):
        with pytest.raises(ScriptError) as raised:
            ask(instance, message(agent, peer.url, more) + "rm.execute();")
        hint = str(getattr(raised.value.__cause__, "hint", ""))
        assert words in f"{raised.value.message} {hint}"
    script = Script("test", message(agent, peer.url) + "rm.execute();")
    with (
        instance.records.write(SYSTEM, enforce=False) as transaction,
        pytest.raises(ScriptError, match="inside a transaction"),
    ):
        instance.scripts.run(script, unit=Enclosed(transaction))


def test_an_agent_that_stays_silent(instance: Instance, peer: Peer, agent: Agent) -> None:
    body = message(agent, f"{peer.url}/silent", "rm.setHttpTimeout(100);")
    found = ask(
        instance,
        body + "var r = rm.execute(); return [r.getStatusCode(), r.getErrorCode(), r.haveError()];",
    )
    assert found == [0, 1, True]
    with instance.records.read(SYSTEM) as transaction:
        query = f"topic=RESTProbe^mid_server={agent.mid.sys_id}^queue=output"
        (row,) = transaction.find("ecc_queue", query)
    assert row.get("state") == "cancelled"
