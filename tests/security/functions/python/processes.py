"""Attacks on other processes: finding them, signalling, changing, tracing and reading them."""

import ctypes
import fcntl
import os
import resource
import signal
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kit import Report, canaries, reaches, read_small, search_memory, system_call

_MOST_PIDS = 70_000
_F_SETSIG = 10
_PTRACE_SEIZE = 0x4206
_KCMP_VM = 1


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def other_environment(report: Report, targets: dict[str, Any]) -> None:
    """Reads another function's environment and memory."""
    pids = [*targets["pids"], *_listed()][:40]
    _read_processes(report, pids)


def platform_memory(report: Report, targets: dict[str, Any]) -> None:
    """Reads the platform's environment and memory, its zygote's, and what they left in this process's own."""
    _read_processes(report, [*targets["platform"], 1, os.getppid()])
    report.attempt_here("its own memory", lambda: search_memory("/proc/self/mem", "/proc/self/maps"))
    report.attempt_here("its own first environment", lambda: canaries(read_small("/proc/self/environ")))


def list_processes(report: Report, targets: dict[str, Any]) -> None:
    """Finds processes other than its own."""
    del targets
    report.attempt_here("names in /proc", lambda: _names(pid for pid in _listed() if not _shares_session(pid)))
    report.attempt_here("pids that answer", lambda: [pid for pid in _answering() if not _shares_session(pid)][:200])


def signals(report: Report, targets: dict[str, Any]) -> None:
    """Signals other processes (SIGURG, which does no harm), and changes how they run."""
    if targets[
        "walled"
    ]:  # a broadcast reports success even where it reaches nobody: what it reached is counted outside
        report.attempt("everyone", lambda: os.kill(-1, signal.SIGURG))
    for pid in (*targets["platform"], *targets["pids"]):
        for name, action in _signalling(pid).items():
            report.attempt(f"{name} {pid}", action)


def tracing(report: Report, targets: dict[str, Any]) -> None:
    """Traces other processes, and takes their memory and descriptors."""
    address = targets["address"]
    for pid in (*targets["platform"], *targets["pids"]):
        report.attempt(f"ptrace {pid}", lambda pid=pid: f"{system_call('ptrace', _PTRACE_SEIZE, pid, 0, 0)} traced")
        report.attempt(f"process_vm_readv {pid}", lambda pid=pid: _read_at(pid, address))
        report.attempt(f"process_vm_writev {pid}", lambda pid=pid: _write_at(pid, address))
        report.attempt(f"write /proc/{pid}/mem", lambda pid=pid: _write_file_at(pid, address))
        report.attempt(f"pidfd_getfd {pid}", lambda pid=pid: f"descriptor {_take_descriptor(pid)}")
        report.attempt(f"kcmp {pid}", lambda pid=pid: f"{system_call('kcmp', os.getpid(), pid, _KCMP_VM, 0, 0)}")
        report.attempt(f"get_robust_list {pid}", lambda pid=pid: _robust_list(pid))
        for name in ("maps", "auxv", "stack", "syscall", "io", "ns/mnt", "exe", "fdinfo/0"):
            report.attempt(f"read /proc/{pid}/{name}", lambda pid=pid, name=name: _look(pid, name))


def _read_processes(report: Report, pids: list[int]) -> None:
    for pid in dict.fromkeys(pids):
        if _is_own(pid):
            continue
        for name in ("environ", "cmdline"):
            report.attempt(f"{name} of {pid}", lambda pid=pid, name=name: canaries(read_small(f"/proc/{pid}/{name}")))
        report.attempt(f"memory of {pid}", lambda pid=pid: search_memory(f"/proc/{pid}/mem", f"/proc/{pid}/maps"))


def _listed() -> list[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    return [int(name) for name in names if name.isdigit() and not _is_own(int(name))]


def _is_own(pid: int) -> bool:
    """Whether it is this process, or a child of it."""
    while pid not in (0, os.getpid()):
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return pid == os.getpid()


def _shares_session(pid: int) -> bool:
    """Whether it is of this worker, which leads a session."""
    return os.getsid(pid) == os.getsid(0)


def _names(pids: Iterable[int]) -> list[str]:
    return [f"{pid} {Path(f'/proc/{pid}/comm').read_text().strip()}" for pid in pids]


def _answering() -> list[int]:
    found = []
    for pid in range(1, _MOST_PIDS):
        try:
            os.getpgid(pid)
        except OSError:
            continue
        found.append(pid)
    return found


def _signalling(pid: int) -> dict[str, Any]:
    information = ctypes.create_string_buffer(128)
    information[8:12] = (-1).to_bytes(4, "little", signed=True)
    information[0:4] = int(signal.SIGURG).to_bytes(4, "little")
    return {
        "kill": lambda: os.kill(pid, signal.SIGURG) or "sent",
        "tkill": lambda: f"sent {system_call('tkill', pid, int(signal.SIGURG))}",
        "tgkill": lambda: f"sent {system_call('tgkill', pid, pid, int(signal.SIGURG))}",
        "killpg": lambda: _signal_group(pid),
        "rt_sigqueueinfo": lambda: f"sent {system_call('rt_sigqueueinfo', pid, int(signal.SIGURG), information)}",
        "rt_tgsigqueueinfo": lambda: (
            f"sent {system_call('rt_tgsigqueueinfo', pid, pid, int(signal.SIGURG), information)}"
        ),
        "pidfd_send_signal": lambda: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGURG) or "sent",
        "F_SETOWN": lambda: _owned_by(pid),
        "setpriority": lambda: _more_nice(pid),
        "prlimit": lambda: resource.prlimit(pid, resource.RLIMIT_NICE, resource.prlimit(pid, resource.RLIMIT_NICE)),
        "sched_setaffinity": lambda: os.sched_setaffinity(pid, os.sched_getaffinity(pid)) or "set",
        "sched_setscheduler": lambda: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)) or "set",
        "ioprio_set": lambda: f"set {system_call('ioprio_set', 1, pid, (2 << 13) | 7)}",
        "process_madvise": lambda: reaches("process_madvise", os.pidfd_open(pid), None, 0, 20, 0),
        "move_pages": lambda: reaches("move_pages", pid, 0, None, None, None, 0),
        "migrate_pages": lambda: reaches("migrate_pages", pid, 0, None, None),
    }


def _signal_group(pid: int) -> str | None:
    group = os.getpgid(pid)
    if group <= 1:
        return None  # would be a broadcast
    os.killpg(group, signal.SIGURG)
    return "sent"


def _owned_by(pid: int) -> None:
    """Has the kernel send the signal: input on a descriptor whose owner is another process. The target counts it."""
    ours, theirs = socket.socketpair()
    fcntl.fcntl(ours, fcntl.F_SETOWN, pid)
    fcntl.fcntl(ours, _F_SETSIG, signal.SIGURG)
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)
    theirs.send(b"x")


def _more_nice(pid: int) -> str:
    now = os.getpriority(os.PRIO_PROCESS, pid)
    os.setpriority(os.PRIO_PROCESS, pid, now + 1)
    return f"{now} to {os.getpriority(os.PRIO_PROCESS, pid)}"


def _read_at(pid: int, address: int) -> list[str] | str:
    buffer = ctypes.create_string_buffer(64)
    here, there = _Vector(ctypes.addressof(buffer), 64), _Vector(address, 64)
    size = system_call("process_vm_readv", pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return canaries(buffer.raw) or f"{size} bytes"


def _write_at(pid: int, address: int) -> str:
    buffer = ctypes.create_string_buffer(b"spoiled")
    here, there = _Vector(ctypes.addressof(buffer), 7), _Vector(address, 7)
    return f"{system_call('process_vm_writev', pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)} bytes"


def _write_file_at(pid: int, address: int) -> str:
    memory = os.open(f"/proc/{pid}/mem", os.O_WRONLY)
    return f"{os.pwrite(memory, b'spoiled', address)} bytes"


def _take_descriptor(pid: int) -> int:
    return system_call("pidfd_getfd", os.pidfd_open(pid), 0, 0)


def _robust_list(pid: int) -> str:
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    system_call("get_robust_list", pid, ctypes.byref(head), ctypes.byref(size))
    return f"at {head.value}"


def _look(pid: int, name: str) -> str:
    path = f"/proc/{pid}/{name}"
    if name in {"ns/mnt", "exe"}:
        return os.readlink(path)
    return f"{len(read_small(path))} bytes"
