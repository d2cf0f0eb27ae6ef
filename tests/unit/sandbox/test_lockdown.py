"""What a worker can still do after lock-down, seen from outside and tried from inside."""

from __future__ import annotations

import platform
import signal
import struct
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from midspan.sandbox import SandboxPool, Script, lockdown

TRY = """
import ctypes, os, mmap, socket, sys, resource
from midspan.sandbox import lockdown
libc = ctypes.CDLL(None, use_errno=True)
report = lockdown.lock_down(lockdown.Bounds(1 << 30, 60, 2))
def attempt(action):
    try:
        action()
    except OSError as error:
        return error.strerror
    except MemoryError:
        return "MemoryError"
    return "done"
ATTEMPT
"""


def inside(code: str) -> subprocess.CompletedProcess[bytes]:
    """Lock a Python process down and run ``code`` in it."""
    text = TRY.replace("ATTEMPT", code)
    path = [entry for entry in sys.path if entry]
    boot = f"import sys; sys.path[:0] = {path!r}\n"
    return subprocess.run([sys.executable, "-c", boot + text], capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("os.open('/etc/passwd', os.O_RDONLY)", "Operation not permitted"),
        ("os.listdir('/')", "Operation not permitted"),
        ("os.fork()", "Operation not permitted"),
        ("os.unlink('/tmp/none')", "Operation not permitted"),
        ("os.kill(1, 0)", "Operation not permitted"),
        ("mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)", "Operation not permitted"),
        ("mmap.mmap(-1, 4096)", "done"),
        ("resource.getrlimit(resource.RLIMIT_AS)", "Operation not permitted"),
        ("os.dup(1)", "Operation not permitted"),
        ("bytearray(1 << 30)", "MemoryError"),
        ("os.write(1, b'')", "done"),
    ],
)
def test_what_is_refused_and_what_is_allowed(action: str, answer: str) -> None:
    code = f"os.write(1, attempt(lambda: {action}).encode())"
    done = inside(code)
    assert (done.stdout.decode(), done.returncode) == (answer, 0), done.stderr.decode()


@pytest.mark.parametrize(
    "action",
    [
        "socket.socket()",
        "os.execv('/bin/true', ['true'])",
        "libc.ptrace(0, 0, 0, 0)",
    ],
)
def test_what_kills(action: str) -> None:
    assert inside(action).returncode == -signal.SIGSYS


def test_the_report_says_what_is_in_force() -> None:
    done = inside("os.write(1, repr(sorted(report.items())).encode())")
    expected = [("no_new_privs", "on"), ("rlimits", "on"), ("seccomp", "on")]
    assert done.stdout.decode() == repr(expected)


def test_a_running_worker_is_locked_down(pool: SandboxPool) -> None:
    with pool.session(lambda name, arguments: None) as session:
        session.run(Script("test.script", "1"))
        status = Path(f"/proc/{session.worker_pid}/status").read_text(encoding="utf-8")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Seccomp"].strip() == "2"
        assert fields["NoNewPrivs"].strip() == "1"
        worker = psutil.Process(session.worker_pid)
        assert worker.environ() == {}
        assert worker.cwd() == "/"
        if fields["Uid"].split()[0] == "65534":
            assert pool.hardening["user"] == "nobody"
    assert pool.hardening["seccomp"] == "on"
    assert pool.hardening["rlimits"] == "on"


def test_a_worker_has_only_its_socket_and_its_own_size_open(pool: SandboxPool) -> None:
    with pool.session(lambda name, arguments: None) as session:
        folder = Path(f"/proc/{session.worker_pid}/fd")
        try:
            targets = sorted(str(entry.readlink()) for entry in folder.iterdir())
        except PermissionError:
            pytest.skip(
                "only root may look into a process that cannot be dumped; run as root to test it"
            )
        opened = [target for target in targets if target != "/dev/null"]
        own = f"/proc/{session.worker_pid}"
        assert opened[:2] == [f"{own}/statm", f"{own}/status"]
        assert len(opened) == 3
        assert opened[2].startswith("socket:")


def test_a_worker_has_one_heap_for_all_threads_and_imports_little(pool: SandboxPool) -> None:
    with pool.session(lambda name, arguments: None) as session:
        session.run(Script("test.script", "1"))
        assert psutil.Process(session.worker_pid).memory_info().rss < 40 * 1024 * 1024


@pytest.mark.parametrize("name", sorted(lockdown.MACHINES))
def test_the_filter_decides_as_its_lists_say(name: str) -> None:
    machine = lockdown.MACHINES[name]
    program = lockdown.assemble(machine)
    for number in machine.allowed:
        assert decide(program, machine.audit, number) == "allow"
    for number in machine.fatal:
        assert decide(program, machine.audit, number) == "kill"
    for number in machine.without_exec:
        assert decide(program, machine.audit, number, third=3) == "allow"
        assert decide(program, machine.audit, number, third=4) == "refuse"
        assert decide(program, machine.audit, number, third=7) == "refuse"
    known = {*machine.allowed, *machine.fatal, *machine.without_exec}
    for number in set(range(500)) - known:
        assert decide(program, machine.audit, number) == "refuse"
    assert decide(program, 0x40000003, machine.allowed[0]) == "kill"


def test_the_second_numbering_of_x86_is_closed() -> None:
    machine = lockdown.MACHINES["x86_64"]
    assert decide(lockdown.assemble(machine), machine.audit, 0x40000000) == "kill"


def decide(program: bytes, architecture: int, number: int, third: int = 0) -> str:
    """Run the filter as the kernel would and return its verdict."""
    data = struct.pack("IIQQQQQQQ", number, architecture, 0, 0, 0, third, 0, 0, 0)
    code = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        operation, yes, no, k = code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("I", data, k)
            case 0x15:
                at += yes if accumulator == k else no
            case 0x35:
                at += yes if accumulator >= k else no
            case 0x45:
                at += yes if accumulator & k else no
            case 0x06:
                return {0x7FFF0000: "allow", 0x80000000: "kill"}.get(k, "refuse")


@pytest.mark.skipif(platform.machine() not in lockdown.MACHINES, reason="no filter for it")
def test_this_machine_has_a_filter() -> None:
    assert len(lockdown.assemble(lockdown.MACHINES[platform.machine()])) % 8 == 0
