"""Identifiers: version 7 UUIDs are in the order in which they were given out."""

from __future__ import annotations

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from midspan.kernel.ids import RandomIds, SeededIds


def test_ids_of_one_millisecond_rise() -> None:
    ids = RandomIds(lambda: 1_700_000_000_000)
    made = [ids.uuid7() for _ in range(10_000)]
    assert all(first < second for first, second in pairwise(made))
    assert {uuid.UUID(text).version for text in made} == {7}
    assert {uuid.UUID(text).variant for text in made} == {uuid.RFC_4122}
    assert {text[:13] for text in made} == {"018bcfe5-6800"}


def test_a_clock_set_back_does_not_turn_the_order() -> None:
    clock = iter([2_000, 1_000, 1_500, 2_001])
    ids = RandomIds(lambda: next(clock))
    made = [ids.uuid7() for _ in range(4)]
    assert made == sorted(made)
    assert len(set(made)) == 4


def test_threads_share_one_order() -> None:
    ids = RandomIds()

    def make(_: int) -> list[str]:
        return [ids.uuid7() for _ in range(500)]

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(8)))
    assert all(run == sorted(run) for run in made)
    assert len({text for run in made for text in run}) == 4_000


def test_the_time_is_that_of_the_clock() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(RandomIds().uuid7()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_seeded_ids_rise_and_repeat() -> None:
    first, second = SeededIds(7), SeededIds(7)
    made = [first.uuid7() for _ in range(100)]
    assert made == sorted(made) == [second.uuid7() for _ in range(100)]


def test_record_ids_are_random_uuids_of_version_4() -> None:
    made = [RandomIds().sys_id() for _ in range(500)]
    assert len(set(made)) == 500
    assert all(uuid.UUID(one).version == 4 and uuid.UUID(one).hex == one for one in made)
    assert {one[16] for one in made} == set("89ab")


def test_random_bytes_are_drawn_many_at_once_and_anew_after_a_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[bytes] = []
    system = os.urandom

    def urandom(size: int) -> bytes:
        drawn.append(system(size))
        return drawn[-1]

    monkeypatch.setattr("os.urandom", urandom)
    ids = RandomIds()
    made = [ids.token(18) for _ in range(300)]
    assert len(set(made)) == 300
    assert {len(one) for one in made} == {24}
    assert [len(each) for each in drawn] == [4096, 4096]
    monkeypatch.setattr("os.getpid", lambda: 1)
    assert bytes.fromhex(ids.sys_id()[:12]) == drawn[2][:6]
    assert len(ids.token(5000)) == 6667
