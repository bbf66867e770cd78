"""Attacks on the kernel's doors: namespaces, mounts, keys, interfaces with a history, foreign numbers, privileges.

Where a call would do harm if it worked, it asks for something that no kernel grants: `reaches` then tells a filter's
refusal from the kernel's own.
"""

import ctypes
import mmap
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from kit import Report, libc, number, reaches, system_call

_NEW = {
    "NEWNS": 0x00020000,
    "NEWCGROUP": 0x02000000,
    "NEWUTS": 0x04000000,
    "NEWIPC": 0x08000000,
    "NEWUSER": 0x10000000,
    "NEWPID": 0x20000000,
    "NEWNET": 0x40000000,
    "NEWTIME": 0x00000080,
}
_X32 = 0x40000000
_OPEN_TREE_CLONE = 1
_MNT_DETACH = 2
_MS_BIND, _MS_REMOUNT = 4096, 32
_I386_GETPID = 20


def namespaces(report: Report, targets: dict[str, Any]) -> None:
    """Leaves its namespaces, or makes new ones."""
    for name, flag in _NEW.items():
        report.attempt(f"unshare {name}", lambda flag=flag: f"returned {system_call('unshare', flag)}")
        report.attempt(f"clone {name}", lambda flag=flag: _cloned(flag))
        report.attempt(f"clone3 {name}", lambda flag=flag: _cloned3(flag))
    high = 1 << 32  # a filter that looks at half of an argument would miss what it is paired with
    report.attempt("unshare with high bits", lambda: f"returned {system_call('unshare', _NEW['NEWUSER'] | high)}")
    report.attempt("unshare files", lambda: reaches("unshare", 0x00000400))
    for pid in ("self", "1", *targets["platform"]):
        for kind in ("mnt", "net", "pid", "user"):
            report.attempt(
                f"setns /proc/{pid}/ns/{kind}", lambda pid=pid, kind=kind: _entered(f"/proc/{pid}/ns/{kind}")
            )
    report.attempt(
        "setns by pidfd", lambda: f"returned {system_call('setns', os.pidfd_open(os.getpid()), _NEW['NEWNS'])}"
    )


def mounts(report: Report, targets: dict[str, Any]) -> None:
    """Mounts, unmounts, changes its root, opens files by handle."""
    here = Path(os.environ.get("TMPDIR", "/tmp")) / "place"
    here.mkdir(exist_ok=True)
    place = ctypes.c_char_p(str(here).encode())
    for kind in (b"tmpfs", b"proc", b"sysfs", b"overlay", b"cgroup2", b"devpts"):
        report.attempt(f"mount {kind.decode()}", lambda kind=kind: _mounted(kind, place))
    report.attempt("bind mount", lambda: _mounted(None, place, b"/", _MS_BIND))
    remount = _MS_BIND | _MS_REMOUNT
    report.attempt("remount /", lambda: reaches("mount", None, ctypes.c_char_p(b"/"), None, remount | (1 << 31), None))
    report.attempt("umount2", lambda: reaches("umount2", ctypes.c_char_p(b"/no/such/place"), _MNT_DETACH))
    report.attempt("pivot_root", lambda: reaches("pivot_root", place, ctypes.c_char_p(b"/no/such/place")))
    report.attempt("chroot", lambda: f"returned {system_call('chroot', place)}")
    root = ctypes.c_char_p(b"/")
    report.attempt("open_tree", lambda: f"returned {system_call('open_tree', -100, root, _OPEN_TREE_CLONE)}")
    report.attempt("move_mount", lambda: reaches("move_mount", -1, root, -1, root, 0))
    report.attempt("fsopen", lambda: f"returned {system_call('fsopen', ctypes.c_char_p(b'tmpfs'), 0)}")
    report.attempt("fspick", lambda: f"returned {system_call('fspick', -100, root, 0)}")
    report.attempt("mount_setattr", lambda: reaches("mount_setattr", -1, root, 0, None, 0))
    report.attempt("open_by_handle_at", lambda: reaches("open_by_handle_at", -100, bytes(64), 0))
    report.attempt(
        "mknod of the disk", lambda: os.mknod(here / "disk", stat.S_IFBLK | 0o600, os.makedev(254, 0)) or "made"
    )
    report.attempt("mknod of memory", lambda: os.mknod(here / "mem", stat.S_IFCHR | 0o600, os.makedev(1, 1)) or "made")
    del targets


def keyrings(report: Report, targets: dict[str, Any]) -> None:
    """Uses the kernel's key service."""
    del targets
    kind, name = ctypes.c_char_p(b"user"), ctypes.c_char_p(b"cloudserve-attack")
    for ring in (-1, -2, -3, -4, -5):
        report.attempt(
            f"add_key to {ring}", lambda ring=ring: f"key {system_call('add_key', kind, name, name, 5, ring)}"
        )
    report.attempt("request_key", lambda: reaches("request_key", kind, name, None, 0))
    for operation in (0, 1, 6, 11, 22, 29):
        report.attempt(f"keyctl {operation}", lambda operation=operation: reaches("keyctl", operation, -3, 0, 0, 0))


def kernel_interfaces(report: Report, targets: dict[str, Any]) -> None:
    """Opens what widens the kernel's surface."""
    del targets
    attributes = bytes(128)
    calls: dict[str, tuple[Any, ...]] = {
        "bpf": (0, attributes, 72),
        "io_uring_setup": (4, ctypes.create_string_buffer(120)),
        "userfaultfd": (1,),
        "perf_event_open": (struct.pack("=IIQ", 1, 112, 0) + bytes(96), 0, -1, -1, 0),
        "init_module": (None, 0, None),
        "finit_module": (-1, None, 0),
        "delete_module": (ctypes.c_char_p(b"no-such-module"), 0o4000),
        "kexec_load": (0, 999, None, -1),
        "reboot": (0, 0, 0, 0),
        "swapon": (ctypes.c_char_p(b"/no/such/file"), 0),
        "acct": (ctypes.c_char_p(b"/no/such/file"),),
        "quotactl": (0, None, 0, None),
        "syslog": (3, ctypes.create_string_buffer(64), 64),
        "fanotify_init": (0, 0),
        "clock_settime": (99, None),
        "sethostname": (None, 1 << 20),
        "name_to_handle_at": (-100, ctypes.c_char_p(b"/"), bytes(64), bytes(8), 0),
        "memfd_secret": (0,),
        "statmount": (None, None, 0, 0),
        "listmount": (None, None, 0, 0),
        "lsm_set_self_attr": (100, None, 0, 0),
        "process_mrelease": (-1, 0),
    }
    for name, arguments in calls.items():
        report.attempt(name, lambda name=name, arguments=arguments: reaches(name, *arguments))
    report.attempt("/dev/userfaultfd", lambda: f"opened {os.open('/dev/userfaultfd', os.O_RDWR)}")
    report.attempt("/dev/kvm", lambda: f"opened {os.open('/dev/kvm', os.O_RDWR)}")
    report.attempt("/dev/fuse", lambda: f"opened {os.open('/dev/fuse', os.O_RDWR)}")
    report.attempt("a filter of its own with a supervisor", _own_supervisor)


def foreign_calls(report: Report, targets: dict[str, Any]) -> None:
    """Makes system calls by numbers that a filter for this machine's own may not know."""
    del targets
    report.attempt("personality READ_IMPLIES_EXEC", lambda: f"was {system_call('personality', 0x0400000)}")
    report.attempt("personality without randomisation", lambda: f"was {system_call('personality', 0x0040000)}")
    report.attempt("number -1", lambda: reaches(-1 & 0x7FFFFFFF))
    report.attempt("number with high bits", lambda: reaches(number("unshare") | (1 << 32), _NEW["NEWUSER"]))
    if os.uname().machine == "x86_64":
        for name, own in (("socket", 41), ("ptrace", 101), ("unshare", number("unshare")), ("getpid", 39)):
            report.attempt(f"x32 {name}", lambda own=own: reaches(own | _X32, 0, 0, 0, 0))
        report.attempt("int 0x80", _by_interrupt)


def privileges(report: Report, targets: dict[str, Any]) -> None:
    """Becomes more than it is."""
    del targets
    report.attempt("setuid 0", lambda: os.setresuid(0, 0, 0) or _is_mighty())
    report.attempt("setgid 0", lambda: os.setresgid(0, 0, 0) or _is_mighty())
    report.attempt("setgroups", lambda: os.setgroups([0]) or "set")
    report.attempt("capabilities it has", _is_mighty)
    report.attempt("capset all", _all_capabilities)
    report.attempt("ambient capability", lambda: _prctl(47, 2, 21))
    report.attempt("walls that are off", _walls_off)
    for name in ("NOFILE", "NPROC", "DATA", "FSIZE", "CORE", "MEMLOCK", "RTPRIO", "NICE", "MSGQUEUE"):
        report.attempt(f"raise RLIMIT_{name}", lambda name=name: _raised(getattr(resource, f"RLIMIT_{name}")))
    report.attempt("real-time scheduling", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) or "set")
    report.attempt("less nice", _less_nice)
    report.attempt("set-user-id programs", _set_user_id)
    report.attempt("a set-user-id program of its own", _own_set_user_id)


def _cloned(flag: int) -> str:
    pid = system_call("clone", flag | int(signal.SIGCHLD), 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "cloned"


def _cloned3(flag: int) -> str:
    arguments = ctypes.create_string_buffer(struct.pack("=8Q", flag, 0, 0, 0, int(signal.SIGCHLD), 0, 0, 0), 64)
    pid = system_call("clone3", arguments, 64)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "cloned"


def _entered(path: str) -> str:
    return f"returned {system_call('setns', os.open(path, os.O_RDONLY), 0)}"


def _mounted(kind: bytes | None, place: ctypes.c_char_p, source: bytes = b"none", flags: int = 0) -> str:
    system_call("mount", ctypes.c_char_p(source), place, kind and ctypes.c_char_p(kind), flags, None)
    system_call("umount2", place, _MNT_DETACH)
    return "mounted"


def _own_supervisor() -> str:
    """Installs a filter whose decisions are its own: the outer one must still have the last word, or refuse it."""
    program = (ctypes.c_uint64 * 1)(struct.unpack("<Q", struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000))[0])
    pointer = struct.pack("@HxxxxxxP", 1, ctypes.addressof(program))
    _prctl(38, 1)
    return f"listener {system_call('seccomp', 1, 8, ctypes.create_string_buffer(pointer, len(pointer)))}"


def _by_interrupt() -> str:
    """Asks for getpid by the 32-bit gate: mov eax, 20; int 0x80; ret."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\x53\xb8" + struct.pack("<I", _I386_GETPID) + b"\xcd\x80\x5b\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    result: int = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if result != os.getpid():
        raise PermissionError(-result, os.strerror(-result))
    return f"pid {result}"


def _is_mighty() -> str | None:
    status = Path("/proc/self/status").read_text().splitlines()
    sets = {line.split(":")[0]: int(line.split()[1], 16) for line in status if line.startswith("Cap")}
    mighty = {name: hex(value) for name, value in sets.items() if value and name != "CapBnd"}
    return str(mighty) if mighty else None


def _walls_off() -> list[str]:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return [name for name, on in (("NoNewPrivs", "1"), ("Seccomp", "2")) if status[name].strip() != on]


def _all_capabilities() -> str | None:
    header, data = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *(0xFFFFFFFF,) * 2, 0, *(0x1FF,) * 2, 0)
    system_call("capset", ctypes.create_string_buffer(header), ctypes.create_string_buffer(data))
    return _is_mighty()


def _prctl(option: int, *arguments: int) -> str:
    if libc.prctl(option, *map(ctypes.c_ulong, (*arguments, 0, 0, 0, 0)[:4])):
        raise OSError(ctypes.get_errno(), "prctl")
    return "set"


def _raised(which: int) -> str | None:
    soft, hard = resource.getrlimit(which)
    if hard == resource.RLIM_INFINITY:
        return None  # there is nothing to raise
    resource.setrlimit(which, (soft, hard + 1))
    return f"{hard} to {resource.getrlimit(which)[1]}"


def _less_nice() -> str | None:
    before = os.nice(0)
    return f"{before} to {os.nice(-1)}" if os.nice(-1) < before else None


def _set_user_id() -> list[str]:
    """Starts every set-user-id program in sight and looks what it became."""
    found = []
    for folder in ("/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/lib", "/usr/libexec"):
        for place, _, names in os.walk(folder):
            for path in (os.path.join(place, name) for name in names):
                try:
                    status = os.lstat(path)
                except OSError:
                    continue
                gained = status.st_mode & stat.S_ISUID and stat.S_ISREG(status.st_mode)
                if gained and status.st_uid != os.getuid() and _becomes_another(path):
                    found.append(path)
    return found


def _becomes_another(path: str) -> bool:
    try:
        process = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={}
        )
    except OSError:
        return False
    try:
        return os.stat(f"/proc/{process.pid}").st_uid != os.getuid()
    finally:
        process.kill()
        process.communicate()


def _own_set_user_id() -> str | None:
    """Marks a copy of the interpreter and runs it: as root it must not be able to give that mark any meaning."""
    copy = Path(os.environ.get("TMPDIR", "/tmp")) / "mighty"
    copy.write_bytes(Path(os.path.realpath(sys.executable)).read_bytes())
    try:
        os.chown(copy, 0, 0)
        os.chmod(copy, 0o6755)
        became = subprocess.run(
            [copy, "-c", "import os; print(os.geteuid())"], capture_output=True, text=True, check=True
        )
        return f"euid {became.stdout.strip()}"
    finally:
        copy.unlink()
