"""The pool: lending, waiting, replacing, ending; and what happens when a worker is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from tests.guard import GUARD

from midspan.kernel.clock import ManualClock
from midspan.sandbox import (
    JsonValue,
    Limits,
    PoolOptions,
    SandboxPool,
    SandboxSession,
    SandboxUnavailable,
    Script,
    ScriptCrashed,
    ScriptTimeout,
)


def wait_for(condition: Callable[[], bool], seconds: float = GUARD) -> None:
    """Wait until ``condition`` holds; fail after ``seconds``."""
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, "the condition did not come true"
        pause.wait(0.005)


def nothing(name: str, arguments: list[JsonValue]) -> JsonValue:
    """Answer no call."""
    return None


def run(session: SandboxSession, text: str = "1 + 1") -> JsonValue:
    return session.run(Script("test.script", text))


def test_workers_start_ahead_of_need_and_never_beyond_the_size() -> None:
    with SandboxPool(size=2) as pool:
        assert pool.stats().started == 0
        pool.start()
        wait_for(lambda: pool.stats().idle == 1)
        with pool.session(nothing) as first, pool.session(nothing) as second:
            assert first.worker_pid != second.worker_pid
            assert pool.stats().busy == 2
        assert (pool.stats().busy, pool.stats().idle, pool.stats().started) == (0, 2, 2)


def test_an_exhausted_pool_says_so_after_a_bounded_wait() -> None:
    options = PoolOptions(patience=timedelta(seconds=0.1))
    with SandboxPool(size=1, options=options) as pool:
        pool.start()
        wait_for(lambda: pool.stats().idle == 1)
        with (
            pool.session(nothing),
            pytest.raises(SandboxUnavailable, match="All 1 script workers"),
            pool.session(nothing),
        ):
            pass
        with pool.session(nothing) as session:
            assert run(session) == 2


def test_a_waiting_session_gets_the_worker_that_comes_back() -> None:
    with SandboxPool(size=1) as pool, ThreadPoolExecutor(1) as threads:

        def wait() -> JsonValue:
            with pool.session(nothing) as session:
                return run(session)

        with pool.session(nothing) as session:
            waiting = threads.submit(wait)
            assert run(session, "3") == 3
        assert waiting.result(timeout=GUARD) == 2


def test_sessions_of_many_threads_do_not_mix() -> None:
    def work(number: int) -> list[JsonValue]:
        results: list[JsonValue] = []
        for _ in range(5):
            with pool.session(lambda name, arguments: number) as session:
                run(session, f"mine = {number}")
                results.append(run(session, "[mine, call('who')]"))
        return results

    prelude = Script("prelude", "globalThis.call = function (n) { return __host(n, []); };")
    with SandboxPool(size=3, prelude=[prelude]) as pool, ThreadPoolExecutor(6) as threads:
        for number, results in enumerate(threads.map(work, range(6))):
            assert results == [[number, number]] * 5


def test_a_killed_worker_costs_one_session_only() -> None:
    with SandboxPool(size=2) as pool, pool.session(nothing) as other:
        run(other, "kept = 1")
        with pool.session(nothing) as session, ThreadPoolExecutor(1) as threads:
            run(session)
            looping = threads.submit(run, session, "for (;;);")
            worker = psutil.Process(session.worker_pid)
            wait_for(lambda: worker.cpu_times().user + worker.cpu_times().system > 0.15)
            os.kill(session.worker_pid, signal.SIGKILL)
            with pytest.raises(ScriptCrashed, match=r"test\.script; line unknown"):
                looping.result(timeout=GUARD)
            with pytest.raises(ScriptCrashed):
                run(session)
        with pool.session(nothing) as session:
            assert run(session) == 2
        assert run(other, "kept") == 1
        assert pool.stats().killed == 1


def test_a_worker_that_died_while_idle_is_replaced() -> None:
    with SandboxPool(size=1) as pool:
        with pool.session(nothing) as session:
            pid = session.worker_pid
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with pool.session(nothing) as session:
            assert session.worker_pid != pid
            assert run(session) == 2


def test_a_worker_killed_during_a_host_call_is_a_crash() -> None:
    prelude = Script("prelude", "globalThis.call = function (n) { return __host(n, []); };")
    with SandboxPool(size=1, prelude=[prelude]) as pool, pool.session(nothing) as session:

        def kill(name: str, arguments: list[JsonValue]) -> JsonValue:
            os.kill(session.worker_pid, signal.SIGKILL)
            return 1

        with pytest.raises(ScriptCrashed):
            session.run(Script("test.script", "call('x')"), host=kill)


def test_a_worker_is_recycled_after_its_number_of_runs() -> None:
    with SandboxPool(size=1, options=PoolOptions(runs=3)) as pool:
        pids = []
        for _ in range(3):
            with pool.session(nothing) as session:
                run(session)
                run(session)
                pids.append(session.worker_pid)
        assert pids[0] == pids[1] != pids[2]
        assert (pool.stats().recycled, pool.stats().killed) == (1, 0)


def test_a_worker_that_has_grown_is_recycled() -> None:
    with SandboxPool(size=1) as pool:
        with pool.session(nothing) as session:
            run(session, "1")
            assert run(session, "kept = new Uint8Array(4e7).fill(1); kept.length") == 40_000_000
        wait_for(lambda: pool.stats().recycled == 1)


def test_a_worker_that_its_first_script_filled_is_recycled() -> None:
    tree = "kept = []; for (let n = 0; n < 1e5; n++) kept.push({n, of: kept, in: [n]}); kept.length"
    with SandboxPool(size=1) as pool:
        with pool.session(nothing) as session:
            assert run(session, tree) == 100_000
        wait_for(lambda: pool.stats().recycled == 1)


def test_what_a_session_held_is_given_back_at_its_end() -> None:
    megabyte = 2**20
    prelude = Script("prelude", "globalThis.call = function (n) { return __host(n, []); };")
    with SandboxPool(size=1, prelude=[prelude]) as pool:
        with pool.session(nothing) as session:
            run(session)
            worker = psutil.Process(session.worker_pid)
        before = worker.memory_info().rss
        for _ in range(20):
            with pool.session(nothing) as session:
                assert run(session, f"kept = new Uint8Array({megabyte}).fill(1); kept[9]") == 1
        wait_for(lambda: worker.memory_info().rss - before < 5 * megabyte)


def test_close_leaves_no_process_and_no_thread() -> None:
    before = {child.pid for child in psutil.Process().children()}
    pool = SandboxPool(size=2)
    with pool.session(nothing) as first, pool.session(nothing) as second:
        run(first)
        run(second)
    pool.close()
    assert {child.pid for child in psutil.Process().children()} <= before
    with pytest.raises(SandboxUnavailable, match="closed"), pool.session(nothing):
        pass
    with pytest.raises(SandboxUnavailable, match="closed"):
        pool.start()
    pool.close()


def test_close_ends_a_running_script() -> None:
    pool = SandboxPool(size=1)

    def loop() -> JsonValue:
        with pool.session(nothing) as session:
            return run(session, "for (;;);")

    with ThreadPoolExecutor(1) as threads:
        looping = threads.submit(loop)
        wait_for(lambda: pool.stats().busy == 1)
        pool.close()
        with pytest.raises(ScriptCrashed):
            looping.result(timeout=GUARD)


def test_workers_die_with_the_instance() -> None:
    code = """
import sys
sys.path[:0] = PATH
from midspan.sandbox import SandboxPool, Script
with SandboxPool(size=1) as pool, pool.session(lambda name, arguments: None) as session:
    session.run(Script("test.script", "1"))
    print(session.worker_pid, flush=True)
    session.run(Script("test.script", "for (;;);"))
""".replace("PATH", repr([entry for entry in sys.path if entry]))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as instance:
        assert instance.stdout is not None
        worker = int(instance.stdout.readline())
        assert psutil.pid_exists(worker)
        instance.kill()
    wait_for(lambda: not psutil.pid_exists(worker) or is_zombie(worker))


def is_zombie(pid: int) -> bool:
    """Tell whether ``pid`` has ended and waits for whoever adopted it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_prelude_that_throws_is_reported_with_its_line() -> None:
    prelude = [Script("prelude/good.js", "1"), Script("prelude/bad.js", "\n\nnot_there()")]
    with SandboxPool(size=1, prelude=prelude) as pool:
        for _ in range(2):
            with pytest.raises(SandboxUnavailable) as caught, pool.session(nothing):
                pass
            assert "not_there is not defined" in str(caught.value.detail)
            assert "prelude/bad.js:3" in str(caught.value.detail)


def test_the_watchdog_goes_by_the_given_clock() -> None:
    clock = ManualClock()
    with (
        SandboxPool(size=1, clock=clock, limits=Limits(wall=timedelta(hours=1))) as pool,
        pool.session(nothing) as session,
        ThreadPoolExecutor(1) as threads,
    ):
        run(session)
        looping = threads.submit(run, session, "for (;;);")
        worker = psutil.Process(session.worker_pid)
        wait_for(lambda: worker.cpu_times().user > 0.15)
        assert not looping.done()
        clock.advance(timedelta(hours=2))
        with pytest.raises(ScriptTimeout, match="killed"):
            looping.result(timeout=GUARD)


def test_a_pool_has_a_worker_at_least() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SandboxPool(size=0)


def test_a_closed_session_cannot_be_used() -> None:
    with SandboxPool(size=1) as pool:
        with pool.session(nothing) as session:
            run(session)
        with pytest.raises(RuntimeError, match="closed"):
            run(session)


def test_workers_give_way_to_the_instance_where_cores_are_short() -> None:
    with SandboxPool(size=1) as pool, pool.session(nothing) as session:
        assert psutil.Process(session.worker_pid).nice() == min(os.nice(0) + 10, 19)


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel does not group by session"
)
def test_the_sessions_of_workers_give_way_too() -> None:
    """Among sessions the value of a process counts for nothing; two start close together.

    Where no session was ever made above these tests, they have no group: the file is empty.
    """
    own = Path("/proc/self/autogroup").read_text(encoding="ascii").split()[:1]
    with SandboxPool(size=2) as pool, pool.session(nothing) as one, pool.session(nothing) as two:
        for each in (one, two):
            told = Path(f"/proc/{each.worker_pid}/autogroup").read_text(encoding="ascii").split()
            assert told[-2:] == ["nice", "10"]
            assert told[:1] != own
