"""Landlock: which files a process and all it starts may touch, and that they reach neither TCP nor other processes.

A `Ruleset` denies every right that the kernel at hand can deny, but for what `allow` gives; `enforce` puts it on the
calling thread, which keeps it for life. Rules hold for what lies beneath a folder, also for what is mounted there
later. See landlock(7) and `Documentation/userspace-api/landlock.rst` of Linux.
"""

import os
import stat
import struct
from types import TracebackType
from typing import Final, Self

from cloudserve.core.confine.syscalls import no_new_privileges, syscall

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
TRUNCATE: Final = 1 << 14
IOCTL_DEV: Final = 1 << 15

READ: Final = EXECUTE | READ_FILE | READ_DIR
"""Reading, listing, and running what is there."""

WRITE: Final = (1 << 16) - 1
"""Everything."""

_OF_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""The rights that a rule on anything but a folder can give."""

_FS_RIGHTS_BITS: Final = (13, 14, 15, 15, 16)
"""How many of the rights the kernel knows, by ABI: 2 knows REFER, 3 TRUNCATE, 5 IOCTL_DEV."""

TRUNCATE_ABI: Final = 3
_TCP_ABI: Final = 4
_SCOPE_ABI: Final = 6
_BIND_AND_CONNECT: Final = 3
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3
_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1


def abi() -> int:
    """Returns the version of landlock that this kernel has; 0 when it has none or has it switched off."""
    try:
        return syscall("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


class Ruleset:
    """Rules in the making; a context manager that closes them.

    Args:
        tcp: whether binding and connecting TCP stays allowed (else denied from ABI 4 on).
        scoped: whether signals and abstract unix sockets are kept to processes under the same rules (from ABI 6 on).

    Raises OSError where the kernel has no landlock.
    """

    def __init__(self, *, tcp: bool = False, scoped: bool = True) -> None:
        version = abi()
        self._rights = (1 << _FS_RIGHTS_BITS[min(max(version, 1), len(_FS_RIGHTS_BITS)) - 1]) - 1
        words = [self._rights]
        if version >= _TCP_ABI:
            words.append(0 if tcp else _BIND_AND_CONNECT)
        if version >= _SCOPE_ABI:
            words.append(_ABSTRACT_SOCKETS_AND_SIGNALS if scoped else 0)
        attributes = struct.pack(f"={len(words)}Q", *words)
        self._descriptor = syscall("landlock_create_ruleset", attributes, len(attributes), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def allow(self, path: str, rights: int) -> None:
        """Gives rights on a file, or on a folder and all beneath it. Raises OSError, such as where there is none."""
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights &= self._rights
            if not stat.S_ISDIR(os.fstat(place).st_mode):
                rights &= _OF_FILES
            syscall("landlock_add_rule", self._descriptor, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
        finally:
            os.close(place)

    def enforce(self) -> None:
        """Puts the calling thread under these rules, for good, and whatever it forks or runs."""
        no_new_privileges()
        syscall("landlock_restrict_self", self._descriptor, 0)
