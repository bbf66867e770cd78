"""Another process's memory and descriptors, by the number of one of its threads.

A number may be given to another thread as soon as its owner ends: whoever asks here makes sure afterwards that the call
it serves still waits (`Listener.is_valid`), and only then uses what was found.
"""

import ctypes
import errno
import os
import re
import struct
from pathlib import Path
from typing import Final

from cloudserve.core.confine.syscalls import pidfd_getfd, syscall

_PIDFD_THREAD: Final = os.O_EXCL
_IOVEC: Final = struct.Struct("@PN")


def read_memory(thread: int, address: int, size: int) -> bytes:
    """Returns as many bytes of a thread's memory. Raises OSError.

    By process_vm_readv(2), or, where a container's filter refuses that, by /proc/PID/mem.
    """
    if size == 0:
        return b""
    buffer = ctypes.create_string_buffer(size)
    ours, theirs = _IOVEC.pack(ctypes.addressof(buffer), size), _IOVEC.pack(address, size)
    try:
        read = syscall("process_vm_readv", thread, ours, 1, theirs, 1, 0)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS):
            raise
        return _read_memory_file(thread, address, size)
    return _whole(buffer.raw[:read], size)


def take_descriptor(thread: int, descriptor: int) -> int:
    """Returns a duplicate of a thread's descriptor (pidfd_getfd(2)). Raises OSError."""
    try:
        pidfd = os.pidfd_open(thread, _PIDFD_THREAD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        pidfd = os.pidfd_open(_process_of(thread))  # before Linux 6.9 there are no descriptors of threads
    try:
        return pidfd_getfd(pidfd, descriptor)
    finally:
        os.close(pidfd)


def inode_of(thread: int, descriptor: int) -> tuple[int, int]:
    """Returns device and inode of what a thread's descriptor stands for. Raises OSError."""
    found = Path(f"/proc/{thread}/fd/{descriptor}").stat()
    return found.st_dev, found.st_ino


def _read_memory_file(thread: int, address: int, size: int) -> bytes:
    descriptor = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _whole(os.pread(descriptor, size, address), size)
    except OverflowError:  # beyond what a file has offsets for, and so beyond all memory of a process
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT)) from None
    finally:
        os.close(descriptor)


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
    return data


def _process_of(thread: int) -> int:
    found = re.search(r"^Tgid:\s*(\d+)", Path(f"/proc/{thread}/status").read_text("ascii", "replace"), re.MULTILINE)
    return int(found[1]) if found else thread
