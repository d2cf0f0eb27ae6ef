"""How long ``reset`` takes: of an ephemeral instance, over HTTP, after writes of each turn.

``python benchmarks/reset.py [TURNS]`` prints the least, the median and the most in milliseconds, as
the client sees them and as the instance does, with idle workers and the built-in apps.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median

import httpx
import orjson

PASSWORD = "for the benchmark"  # noqa: S105 - of an instance that lives for seconds
INCIDENTS = "/api/now/table/incident"


def main(turns: int) -> None:
    """Measure ``turns`` resets."""
    node: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, "-m", "midspan", "serve", "--ephemeral", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MIDSPAN_ADMIN_PASSWORD": PASSWORD},
    )
    seen: list[float] = []
    inside: list[float] = []
    try:
        url = orjson.loads(node.stdout.readline() if node.stdout else b"")["url"]
        with httpx.Client(base_url=url, auth=("admin", PASSWORD), timeout=60) as client:
            for _ in range(turns):
                for _ in range(20):
                    client.post(INCIDENTS, json={"short_description": "x"}).raise_for_status()
                began = time.perf_counter()
                answer = client.post("/api/midspan/v1/reset")
                seen.append((time.perf_counter() - began) * 1000)
                inside.append(answer.raise_for_status().json()["result"]["milliseconds"])
    finally:
        node.terminate()
        node.wait()
    for name, figures in (("client", seen), ("instance", inside)):
        sys.stdout.write(
            f"{name}: {min(figures):.1f}, {median(figures):.1f}, {max(figures):.1f} ms\n"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
