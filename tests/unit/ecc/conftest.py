"""One instance per database for the tests of agents; each test works with its own agents."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from midspan.ecc.enrolment import Enrolments, MidServer
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.security import SYSTEM
from midspan.testing import open_instance
from midspan_link import protocol
from midspan_mid.identity import Identity

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def instance(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Instance]:
    """Return an open instance on each database in turn."""
    url = new_database() if request.param == "postgresql" else ""
    with open_instance(url, clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
def clock(instance: Instance) -> ManualClock:
    """The instance's clock."""
    assert isinstance(instance.clock, ManualClock)
    return instance.clock


@pytest.fixture
def enrolments(instance: Instance) -> Enrolments:
    """Enrolments of the instance."""
    return Enrolments(instance.records)


def introduction(code: str, identity: Identity | None = None, **more: object) -> protocol.Enrolment:
    """What an agent sends with a code."""
    known = identity or Identity.generate()
    return protocol.Enrolment(
        code=code,
        name="whatever its host is called",
        signing_key=known.signing_text,
        sealing_key=known.sealing_text,
        ip="10.0.0.7",
        capabilities=["JDBC"],
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def mid(enrolments: Enrolments) -> MidServer:
    """An enrolled, validated agent that was heard of just now."""
    name = f"mid{next(NUMBERS)}"
    enrolled = enrolments.enrol(introduction(enrolments.issue_code(name, SYSTEM).code))
    enrolments.validate(name, SYSTEM)
    found = enrolments.find(enrolled.mid_sys_id)
    enrolments.seen(found)
    return enrolments.find(enrolled.mid_sys_id)
