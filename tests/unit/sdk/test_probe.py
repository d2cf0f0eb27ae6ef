"""Probes run on whatever the agent offers; secrets do not leak."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Annotated

import msgspec
import pytest

from midspan_sdk import (
    BlockWriter,
    InvalidInputs,
    Log,
    Meta,
    Probe,
    ProbeContext,
    Secret,
    Struct,
    Target,
    TargetNotAllowed,
    probe,
)
from midspan_sdk.testing import RecordedLog


class Request(Struct, frozen=True):
    host: Annotated[str, Meta(description="Name or address")]
    timeout: Annotated[float, Meta(gt=0, le=30)] = 2.0


class Result(Struct, frozen=True):
    alive: bool
    rtt: float | None


@probe("ping", repeatable=True)
async def ping(request: Request, ctx: ProbeContext) -> Result:
    """Is a host reachable?"""
    rtt = await ctx.ping(request.host, timeout=request.timeout)
    return Result(alive=rtt is not None, rtt=rtt)


class Agent:
    """An agent that may reach one host."""

    key = "job-1"

    def __init__(self) -> None:
        self._log = RecordedLog()

    @property
    def log(self) -> Log:
        return self._log

    @property
    def blocks(self) -> BlockWriter:
        raise NotImplementedError

    async def ping(self, host: str, timeout: float) -> float | None:  # noqa: ASYNC109
        self.allowed(host, 0)
        return 0.25 if timeout >= 2 else None

    def target(self, name: str) -> Target:
        raise TargetNotAllowed(f"There is no target {name!r} here")

    def secret(self, alias: str) -> Secret:
        return Secret({"user": alias})

    def allowed(self, host: str, port: int) -> list[str]:
        if host != "db.lan":
            raise TargetNotAllowed(f"{host} is not in this agent's list of targets")
        return ["10.0.0.1"]


def run(raw: dict[str, str]) -> dict[str, object]:
    return asyncio.run(ping.run(raw, Agent()))


def test_what_the_decorator_gives() -> None:
    assert isinstance(ping, Probe)
    assert (ping.topic, ping.capability, ping.repeatable) == ("ping", "PING", True)
    assert ping.description == "Is a host reachable?"
    other = probe("jdbc", capability="DATABASE", description="Query")(ping.function)
    assert (other.capability, other.repeatable, other.description) == ("DATABASE", False, "Query")


def test_run_gives_plain_data() -> None:
    assert run({"host": "db.lan"}) == {"alive": True, "rtt": 0.25}
    assert run({"host": "db.lan", "timeout": "1"}) == {"alive": False, "rtt": None}


def test_refusals() -> None:
    with pytest.raises(TargetNotAllowed, match="not in this agent's list"):
        run({"host": "elsewhere"})
    with pytest.raises(InvalidInputs, match="Expected float <= 30"):
        run({"host": "db.lan", "timeout": "99"})


def test_a_secret_shows_names_only_and_stays_in_the_process() -> None:
    secret = Secret({"user": "reader", "password": "s3cret"})
    target = Target("assets", "postgresql://db.lan/assets", "db.lan", 5432, {}, secret)
    assert secret["password"] == "s3cret"
    assert list(secret) == ["user", "password"]
    for shown in (repr(secret), str(secret), f"{target}"):
        assert "s3cret" not in shown
        assert "password=***" in shown
    for leak in (pickle.dumps, copy.copy, msgspec.json.encode):
        with pytest.raises(TypeError):
            leak(secret)
    with pytest.raises(KeyError, match="only \\['password', 'user'\\]"):
        secret["token"]
