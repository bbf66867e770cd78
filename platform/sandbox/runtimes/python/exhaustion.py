"""Errors that mean a limit of the worker, told from those that are the function's own."""

import _thread
import errno
import os
from pathlib import Path
from typing import Final

_REASONS: Final = {
    errno.ENOMEM: "out-of-memory",
    errno.EMFILE: "open-files",
    errno.ENFILE: "open-files",
    errno.EFBIG: "file-too-large",
}


def limit_of(error: BaseException) -> dict[str, str | int]:
    """Returns the reason of a fault, with its figures where there are some; empty for any other error."""
    if isinstance(error, MemoryError):
        return {"reason": "out-of-memory"}
    if isinstance(error, RuntimeError) and str(error).startswith("can't start new thread"):
        return {"reason": "processes"}
    return _of_system(error.errno) if isinstance(error, OSError) else {}


def _of_system(number: int | None) -> dict[str, str | int]:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return _disk()
    if number == errno.EAGAIN and not _can_start_a_thread():
        return {"reason": "processes"}
    return {"reason": _REASONS[number]} if number in _REASONS else {}


def _disk() -> dict[str, str | int]:
    """Tells by the file system of the worker's folder which of the two it lacks."""
    try:
        told = os.statvfs(Path.home())
    except OSError:
        return {"reason": "disk-full"}
    if told.f_files and not told.f_favail:
        return {"reason": "inodes", "used": told.f_files - told.f_ffree, "size": told.f_files}
    used = (told.f_blocks - told.f_bfree) * told.f_frsize
    return {"reason": "disk-full", "used": used, "size": told.f_blocks * told.f_frsize}


def _can_start_a_thread() -> bool:
    """Tells what EAGAIN was about: sockets and pipes give it too, but then there is room for a thread."""
    try:
        _thread.start_new_thread(os.getpid, ())
    except RuntimeError:
        return False
    return True
