"""What the attacks are made of: system calls by number, a record of every try, and the hunt for canaries."""

import ctypes
import errno
import json
import os
import re
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CANARY = re.compile(rb"CANARY-[a-z]+-[0-9a-f]{32}")
"""What every secret that was laid out looks like; which ones there are, the attacker does not know."""

_TRY_SECONDS = 8
_LARGEST_FILE = 1 << 20

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

# arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h
_NUMBERS = {
    "accept": (43, 202),
    "accept4": (288, 242),
    "acct": (163, 89),
    "add_key": (248, 217),
    "bind": (49, 200),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "connect": (42, 203),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "get_robust_list": (100, 100),
    "init_module": (175, 105),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "listen": (50, 201),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "seccomp": (317, 277),
    "semget": (64, 190),
    "semctl": (66, 191),
    "sendmmsg": (307, 269),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "shmat": (30, 196),
    "shmget": (29, 194),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
_EVERYWHERE = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fspick": 433,
    "pidfd_open": 434,
    "clone3": 435,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "memfd_secret": 447,
    "process_mrelease": 448,
    "statmount": 457,
    "listmount": 458,
    "lsm_set_self_attr": 460,
    "open_tree_attr": 467,
}
_INTEL = os.uname().machine == "x86_64"


def number(name: str) -> int:
    """Returns the number of a system call on this machine."""
    everywhere = _EVERYWHERE.get(name)
    return _NUMBERS[name][0 if _INTEL else 1] if everywhere is None else everywhere


def system_call(name: str | int, *arguments: Any) -> int:
    """Makes a system call and returns its result. Raises OSError."""
    wanted = name if isinstance(name, int) else number(name)
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = libc.syscall(ctypes.c_long(wanted), *passed)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def reaches(name: str | int, *arguments: Any) -> str | None:
    """Makes a system call that can't do harm, and tells when the kernel looked at what it asks for.

    Only what a filter says (EPERM, EACCES, ENOSYS) counts as refused: EINVAL and the like mean that the call ran.
    """
    try:
        return f"returned {system_call(name, *arguments)}"
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise
        return f"reached the kernel: {errno.errorcode.get(error.errno or 0)}"


class Report:
    """What each try got, by its name, and how the others were refused.

    Each is made in a process of its own, so that one which succeeds changes nothing for the next.
    """

    def __init__(self) -> None:
        self.got: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    def attempt(self, name: str, action: Callable[[], Any]) -> None:
        """Makes a try. It got something when it returns something."""
        mine, its = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(mine)
            _perform(action, its)
        os.close(its)
        outcome = _read_outcome(mine, pid)
        os.close(mine)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if "got" in outcome:
            self.got[name] = outcome["got"]
        else:
            self.refused[name] = outcome.get("refused", f"it ended with {status}")

    def attempt_here(self, name: str, action: Callable[[], Any]) -> None:
        """Makes a try in this very process, whose memory or descriptors it is about."""
        try:
            got = action()
        except BaseException as error:  # noqa: BLE001 - whatever stops a try is its outcome
            self.refused[name] = f"{type(error).__name__}: {error}"[:300]
        else:
            if got:
                self.got[name] = str(got)[:2000]
            else:
                self.refused[name] = "nothing"


def _perform(action: Callable[[], Any], out: int) -> None:
    signal.alarm(_TRY_SECONDS)
    try:
        got = action()
        outcome = {"got": str(got)[:2000]} if got else {"refused": "nothing"}
    except BaseException as error:  # noqa: BLE001 - whatever stops a try is its outcome
        outcome = {"refused": f"{type(error).__name__}: {error}"[:300]}
    os.write(out, json.dumps(outcome).encode())
    os._exit(0)


def _read_outcome(source: int, pid: int) -> dict[str, str]:
    data, ends_at = b"", time.monotonic() + _TRY_SECONDS
    while select.select([source], [], [], max(0.0, ends_at - time.monotonic()))[0]:
        part = os.read(source, 65536)
        if not part:
            break
        data += part
    else:
        os.kill(pid, signal.SIGKILL)
    return dict(json.loads(data)) if data else {}


def canaries(data: bytes) -> list[str]:
    """Returns the secrets in it."""
    return sorted({found.decode() for found in CANARY.findall(data)})


def read_small(path: str | Path) -> bytes:
    """Returns the beginning of a file, without waiting for one that has nothing to say."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return os.read(descriptor, _LARGEST_FILE)
    finally:
        os.close(descriptor)


def search_memory(memory: str, maps: str) -> list[str]:
    """Returns the secrets in the writable memory of a process."""
    found: set[str] = set()
    budget = 512 << 20
    regions = Path(maps).read_text().splitlines()
    with open(memory, "rb", buffering=0) as source:
        for region in regions:
            fields = region.split()
            begin, end = (int(part, 16) for part in fields[0].split("-"))
            if "w" not in fields[1] or "[v" in region:
                continue
            while begin < end and budget > 0:
                size = min(end - begin, 4 << 20)
                try:
                    source.seek(begin)
                    found.update(canaries(source.read(size)))
                except OSError:
                    break
                begin += size
                budget -= size
    return sorted(found)
