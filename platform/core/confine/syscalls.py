"""The system calls of Linux that Python has no function for, one thin function each.

Each raises OSError with the call's name where the kernel refuses. The numbers are those of x86_64 and aarch64
(`arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h` of Linux); from 424 on a call has the
same number everywhere. Importing this does nothing, on any system; on one that is no Linux every call raises ENOSYS.
"""

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path
from typing import Final

# unshare(2), setns(2)
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

# mount(2)
MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19

# mount_setattr(2)
MOUNT_ATTR_RDONLY: Final = 1
MOUNT_ATTR_NOSUID: Final = 2
MOUNT_ATTR_NODEV: Final = 4
MOUNT_ATTR_NOEXEC: Final = 8

# prctl(2)
PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_CAPBSET_DROP: Final = 24
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38

NUMBERS: Final[dict[str, dict[str, int]]] = {
    "x86_64": {"capset": 126, "pivot_root": 155, "process_vm_readv": 310, "seccomp": 317},
    "aarch64": {"capset": 91, "pivot_root": 41, "process_vm_readv": 270, "seccomp": 277},
}
_EVERYWHERE: Final = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}

_MACHINE: Final = os.uname().machine
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_MNT_DETACH: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522
_MOST_CAPABILITIES: Final = 64

_libc: Final = ctypes.CDLL(None, use_errno=True)
if sys.platform == "linux":
    _libc.syscall.restype = ctypes.c_long

Argument = int | bytes | ctypes.Array[ctypes.c_char] | None
"""A number, memory to read, memory to write, or a null pointer."""


def number(name: str, machine: str | None = None) -> int:
    """Returns the number of a call on a machine as `uname -m` names it, this one unless given.

    Raises OSError(ENOSYS) where it is not known.
    """
    machine = machine or _MACHINE
    of_machine = NUMBERS.get(machine)
    if sys.platform != "linux" or of_machine is None:
        raise OSError(errno.ENOSYS, f"{name} is not known on {sys.platform} {machine}")
    return of_machine.get(name) or _EVERYWHERE[name]


def syscall(name: str, *arguments: Argument) -> int:
    """Makes a call and returns its result. Raises OSError."""
    result: int = _libc.syscall(ctypes.c_long(number(name)), *map(_word, arguments))
    return _checked(result, name)


def unshare(flags: int) -> None:
    """Leaves the namespaces that `flags` (CLONE_NEW…) names for new ones."""
    _checked(_libc.unshare(flags), "unshare")


def setns(descriptor: int, flags: int) -> None:
    """Enters the namespaces of a pidfd that `flags` names, or the one namespace that the descriptor is of."""
    _checked(_libc.setns(descriptor, flags), "setns")


def map_own_user(uid: int, gid: int, *, inner_uid: int = 0, inner_gid: int = 0) -> None:
    """Maps the one user and group that a new user namespace may have: those that made it (user_namespaces(7))."""
    Path("/proc/self/setgroups").write_bytes(b"deny")
    Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (inner_uid, uid))
    Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (inner_gid, gid))


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2)."""
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    result = _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    _checked(result, f"mount {target}")


def detach(target: str) -> None:
    """Takes a mount and all below it out of the tree; it goes when nobody uses it any more."""
    _checked(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    syscall("pivot_root", os.fsencode(new_root), os.fsencode(put_old))


def open_tree(path: str, *, recursive: bool = False) -> int:
    """Returns a descriptor of a detached copy of a file or folder, to be put somewhere with `move_mount`."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return syscall("open_tree", _AT_FDCWD, os.fsencode(path), flags)


def set_mount(tree: int, attributes: int, *, recursive: bool = False) -> None:
    """Adds attributes (MOUNT_ATTR_…) to a tree of `open_tree`, and ends its propagation to and from its origin."""
    attr = struct.pack("=QQQQ", attributes, 0, MS_PRIVATE, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", tree, b"", flags, attr, len(attr))


def move_mount(tree: int, target: str) -> None:
    """Puts a tree of `open_tree` on a file or folder."""
    syscall("move_mount", tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)


def prctl(option: int, value: int = 0) -> int:
    """prctl(2) with one value."""
    result: int = _libc.prctl(option, *(ctypes.c_ulong(word) for word in (value, 0, 0, 0)))
    return _checked(result, f"prctl {option}")


def no_new_privileges() -> None:
    """From now on no program that is run gains privileges, such as by set-user-ID."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(signal_number: int) -> None:
    """Has the kernel send a signal when the thread that forked this one ends. A change of user takes it back."""
    prctl(PR_SET_PDEATHSIG, signal_number)


def drop_bounding_set() -> None:
    """Keeps every program that this process or its children run from gaining a capability (capabilities(7)).

    It keeps those that it holds. Without CAP_SETPCAP nothing happens.
    """
    for capability in range(_MOST_CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:  # one past the last that this kernel knows
                break
            if error.errno != errno.EPERM:
                raise
            break


def drop_capabilities() -> None:
    """Gives up every capability, for good."""
    drop_bounding_set()
    syscall("capset", struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24))


def pidfd_getfd(pidfd: int, descriptor: int) -> int:
    """Returns a duplicate of another process's descriptor."""
    return syscall("pidfd_getfd", pidfd, descriptor, 0)


def _word(argument: Argument) -> object:
    """Returns the argument as wide as a register; ctypes would pass 32 bits of a plain number."""
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
