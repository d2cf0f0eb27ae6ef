"""``midspan.testing.serve``, and eight instances side by side as a parallel CI run has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from midspan.kernel.errors import Unavailable
from midspan.testing import Served, serve

MANY = 8
MOST_MEMORY = 500 * 1024
"""KiB that one instance with its script workers may have; a guard, it has about a quarter of it."""
INCIDENTS = "/api/now/table/incident"


def seed(folder: Path, number: int) -> Path:
    file = folder / f"seed-{number}.yaml"
    file.write_text(
        f"records:\n  incident:\n    - {{key: a, short_description: Of instance {number}}}\n"
    )
    return file


def texts(client: httpx.Client) -> list[str]:
    answer = client.get(f"{INCIDENTS}?sysparm_fields=short_description&sysparm_query=ORDERBYnumber")
    return [each["short_description"] for each in answer.raise_for_status().json()["result"]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(seed(tmp_path_factory.mktemp("seed"), 0), options=["--tls"]) as instance:
        yield instance


def test_a_served_instance(served: Served) -> None:
    assert served.url.startswith("https://127.0.0.1:")
    with served.client() as client:
        assert texts(client) == ["Of instance 0"]
        client.post(INCIDENTS, json={"short_description": "more"}).raise_for_status()
        served.save("more")
        served.reset()
        assert texts(client) == ["Of instance 0"]
        served.restore("more")
        assert texts(client) == ["Of instance 0", "more"]
    with pytest.raises(Unavailable, match="answered 400"):
        served.restore("none")


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("recods: {}\n")
    with pytest.raises(Unavailable) as failed, serve(wrong):
        pass
    assert "'records'" in (failed.value.detail or "")


def test_eight_side_by_side(tmp_path: Path) -> None:
    """Each has its own port, data, seed and reset, and all eight fit into a CI machine."""
    with ExitStack() as stack, ThreadPoolExecutor(MANY) as pool:

        def start(number: int) -> Served:
            return stack.enter_context(serve(seed(tmp_path, number)))

        instances = list(pool.map(start, range(MANY)))
        assert len({each.url for each in instances}) == MANY

        def use(number: int) -> list[list[str]]:
            served = instances[number]
            found = []
            with served.client() as client:
                for turn in range(3):
                    client.post(INCIDENTS, json={"short_description": f"{number}/{turn}"})
                    found.append(texts(client))
                    if number % 2:
                        served.reset()
            return found

        for number, found in enumerate(pool.map(use, range(MANY))):
            own = f"Of instance {number}"
            each = [[own, f"{number}/{turn}"] for turn in range(3)]
            grows = [[own, *(f"{number}/{turn}" for turn in range(last + 1))] for last in range(3)]
            assert found == (each if number % 2 else grows)
        used = sum(memory_below(os.getpid()))
        assert used < MANY * MOST_MEMORY, f"{used // 1024} MiB"


def memory_below(parent: int) -> Iterator[int]:
    """Yield the KiB that each descendant of a process has in memory."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    for child in {pid for file in children for pid in file.read_text().split()}:
        status = Path(f"/proc/{child}/status").read_text()
        yield sum(int(line.split()[1]) for line in status.splitlines() if line[:6] == "VmRSS:")
        yield from memory_below(int(child))
