"""Gives up every right a worker does not need: limits, privileges, system calls. Cannot be undone.

Runs inside the worker after all its imports. What the kernel refuses is reported, not ignored: the
pool shows it as ``hardening``. The seccomp filter is assembled here because no library for it can
be expected; it knows x86_64 and aarch64 and allows reading and writing what is open already, memory
that cannot be executed, locks, clocks, and the end. The rest answers EPERM; what no worker would
ever try (programs, sockets, other processes' memory) kills.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from struct import Struct
from typing import NamedTuple

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_SECCOMP_SET_MODE_FILTER, _FILTER_FLAG_TSYNC = 1, 1
_NOBODY = 65534
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE = 128 * 1024
_KEPT = 512 * 1024
_PROT_EXEC = 4
_SESSION = "/proc/self/autogroup"
_PATIENCE = 5
"""Tries to tell how much the session gives way."""

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_THIRD_ARGUMENT = 0, 4, 32
_INSTRUCTION = Struct("HBBI")


class Machine(NamedTuple):
    """The numbers of one architecture's system calls."""

    audit: int
    seccomp: int
    allowed: tuple[int, ...]
    without_exec: tuple[int, ...]
    fatal: tuple[int, ...]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


# allowed: read pread64 write close fstat lseek poll munmap brk rt_sigaction rt_sigprocmask
# rt_sigreturn mremap sched_yield madvise getpid gettid sendto recvfrom exit exit_group sigaltstack
# futex clock_gettime clock_getres gettimeofday times getrusage restart_syscall getrandom rseq
# membarrier, and on x86_64 ppoll beside poll
# without_exec: mmap mprotect
# fatal: execve execveat ptrace socket connect bpf process_vm_readv process_vm_writev
MACHINES = {
    "x86_64": Machine(
        audit=0xC000003E,
        seccomp=317,
        allowed=_numbers(
            "0 1 3 5 7 8 11 12 13 14 15 17 24 25 28 39 44 45 60 96 98 100 131 186 202 219 228 229 "
            "231 271 318 324 334"
        ),
        without_exec=_numbers("9 10"),
        fatal=_numbers("59 322 101 41 42 321 310 311"),
    ),
    "aarch64": Machine(
        audit=0xC00000B7,
        seccomp=277,
        allowed=_numbers(
            "57 62 63 64 67 73 80 93 94 98 113 114 124 128 132 134 135 139 153 165 169 172 178 "
            "206 207 214 215 216 233 278 283 293"
        ),
        without_exec=_numbers("222 226"),
        fatal=_numbers("221 281 117 198 203 280 270 271"),
    ),
}


class Bounds(NamedTuple):
    """What the process may use in all: bytes of address space, seconds, highest descriptor."""

    memory: int
    cpu: int
    descriptor: int


def give_way(nice: int, session: int) -> None:
    """Raise the "nice" value of this process, which has a session of its own, and of that session.

    Linux may share processors among sessions first ("autogroup"); then the value of a process
    counts inside its session alone, and that of the session beside all others. Has to come before
    ``be_nobody``, who may not say so.
    """
    os.nice(nice)
    for _ in range(_PATIENCE):
        try:
            descriptor = os.open(_SESSION, os.O_WRONLY)
            try:
                os.write(descriptor, str(session).encode())
            finally:
                os.close(descriptor)
            return
        except BlockingIOError:  # one process in a tenth of a second may
            time.sleep(0.1)
        except OSError:  # this kernel knows no such thing
            return


def let_others_run() -> None:
    """Let who else waits for this processor have it, now and not when the kernel looks again.

    Linux does that at a tick of its clock, every 4 ms mostly, even where the one who woke up comes
    first by its "nice" value: so long would the instance, or a client beside it, wait for a script.
    """
    os.sched_yield()


def be_nobody() -> str:
    """Become user and group 65534 when started as root; return what happened in a word."""
    if os.geteuid() != 0:
        return "unchanged"
    try:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    except OSError as error:
        return f"refused: {error.strerror}"
    return "nobody"


def bound_heap() -> None:
    """Have glibc keep one heap and give back what large values took; other C libraries ignore it.

    By itself it reserves address space for each thread, and once a large block was freed takes the
    next ones from its heap, which then stays as large as it ever was.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; end now when that was before.

    Has to follow ``be_nobody``: a change of user switches it off.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def lock_down(bounds: Bounds) -> dict[str, str]:
    """Set resource limits and install the filter; return what is in force by name.

    Has to be the last step before the first script: no file can be opened afterwards.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    report = {"rlimits": _limit(bounds)}
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    report["no_new_privs"] = "on" if not libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) else "refused"
    report["seccomp"] = _filter(libc)
    return report


def _limit(bounds: Bounds) -> str:
    wanted = {
        resource.RLIMIT_AS: bounds.memory,
        resource.RLIMIT_CPU: bounds.cpu,
        resource.RLIMIT_NOFILE: bounds.descriptor + 1,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    refused = 0
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (bound, bound))
        except (OSError, ValueError):
            refused += 1
    return f"{refused} refused" if refused else "on"


def _filter(libc: ctypes.CDLL) -> str:
    machine = MACHINES.get(os.uname().machine)
    if machine is None:
        return f"unknown machine {os.uname().machine}"
    program = assemble(machine)
    code = ctypes.create_string_buffer(program, len(program))
    header = Struct("HxxxxxxP").pack(len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    failed = libc.syscall(
        ctypes.c_long(machine.seccomp),
        ctypes.c_ulong(_SECCOMP_SET_MODE_FILTER),
        ctypes.c_ulong(_FILTER_FLAG_TSYNC),
        ctypes.c_char_p(header),
    )
    return f"refused: {os.strerror(ctypes.get_errno())}" if failed else "on"


def assemble(machine: Machine) -> bytes:
    """Return the filter for ``machine`` as a BPF program, 8 bytes an instruction."""
    op = _INSTRUCTION.pack
    program = [
        op(_LOAD, 0, 0, _AT_ARCHITECTURE),
        op(_JUMP_EQUAL, 1, 0, machine.audit),
        op(_RETURN, 0, 0, _KILL),
        op(_LOAD, 0, 0, _AT_NUMBER),
    ]
    if machine.audit == MACHINES["x86_64"].audit:  # the x32 numbers are a second door
        program += [op(_JUMP_AT_LEAST, 0, 1, 0x40000000), op(_RETURN, 0, 0, _KILL)]
    for number in machine.allowed:
        program += [op(_JUMP_EQUAL, 0, 1, number), op(_RETURN, 0, 0, _ALLOW)]
    for number in machine.without_exec:
        program += [
            op(_JUMP_EQUAL, 0, 4, number),
            op(_LOAD, 0, 0, _AT_THIRD_ARGUMENT),
            op(_JUMP_ANY_BIT, 0, 1, _PROT_EXEC),
            op(_RETURN, 0, 0, _REFUSE),
            op(_RETURN, 0, 0, _ALLOW),
        ]
    for number in machine.fatal:
        program += [op(_JUMP_EQUAL, 0, 1, number), op(_RETURN, 0, 0, _KILL)]
    return b"".join([*program, op(_RETURN, 0, 0, _REFUSE)])
