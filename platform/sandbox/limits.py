"""Each limit in words: what a call that reached it is told, always with the figure and the limit."""

from dataclasses import replace
from typing import Any, Final

from cloudserve.core.confine.bounds import Bounds
from cloudserve.sandbox.failures import Failure

_MEBIBYTE: Final = 1024 * 1024
_INODES_OF_OURS: Final = 16
"""What a worker's file system has beside the function's own files, at most."""


def timed_out(seconds: float, peak_kib: int) -> Failure:
    """The call took longer than it may."""
    limit = f"{seconds:g} s"
    return Failure("timeout", f"The call did not end within {limit}.", memory_kib=peak_kib, limit=limit)


def out_of_memory(peak_kib: int, memory_mb: int) -> Failure:
    """The worker wanted more memory than it may have."""
    limit = f"{memory_mb} MB"
    message = f"Out of memory: peak {peak_kib / 1024:.0f} MB of {limit}."
    return Failure("out-of-memory", message, memory_kib=peak_kib, limit=limit)


def too_large(size: int, most_bytes: int, peak_kib: int) -> Failure:
    """The answer is larger than it may be; of a stream `size` is what had come when that was seen."""
    limit = f"{most_bytes / _MEBIBYTE:g} MB"
    message = f"The answer is too large: {size / _MEBIBYTE:.1f} MB of {limit}."
    return Failure("response-too-large", message, memory_kib=peak_kib, limit=limit)


def cpu_used_up(seconds: float, limit_seconds: float, peak_kib: int) -> Failure:
    """A call used more processor time than one core gives it until its time-out."""
    limit = f"{limit_seconds:g} s"
    message = f"Processor time used up: {seconds:.1f} s of {limit}."
    return Failure("cpu", message, memory_kib=peak_kib, limit=limit)


def busy_between_calls(seconds: float, limit_seconds: float) -> Failure:
    """A worker went on without a call, in a thread or a timer."""
    limit = f"{limit_seconds:g} s"
    message = f"The worker was ended: it was busy without a call, for {seconds:.1f} s of processor time of {limit}."
    return Failure("cpu", message, limit=limit)


def too_many_processes(count: int, bounds: Bounds, peak_kib: int = 0) -> Failure:
    """The worker wanted one more process or thread."""
    limit = str(bounds.processes)
    message = f"Too many processes and threads: {count} of {limit}."
    return Failure("processes", message, memory_kib=peak_kib, limit=limit)


def disk_full(used_bytes: int, bounds: Bounds, peak_kib: int = 0) -> Failure:
    """The worker's folder has no room left."""
    limit = f"{bounds.disk_mb} MB"
    message = f"The disk is full: {used_bytes / _MEBIBYTE:.0f} MB of {limit}."
    return Failure("disk-full", message, memory_kib=peak_kib, limit=limit)


def out_of_inodes(count: int, bounds: Bounds, peak_kib: int = 0) -> Failure:
    """The worker's folder can take no more files."""
    limit = str(bounds.inodes)
    return Failure("inodes", f"Too many files: {count} of {limit}.", memory_kib=peak_kib, limit=limit)


def log_cut(printed_bytes: int, kept_bytes: int) -> str:
    """Returns the last line of a log that was cut."""
    return f"The log was cut: {printed_bytes / 1024:.0f} KB printed, {kept_bytes / 1024:g} KB kept."


def with_figures(failure: Failure, fault: dict[str, Any], memory_mb: int, bounds: Bounds) -> Failure:
    """Returns the failure of a worker's fault in the words of the limit that it was, if it was one.

    The figure is the limit itself, because what was refused is the step beyond; for the folder it is what the worker
    saw of its file system, in bytes, which may also be the host's and full by itself (`used` and `size` of a fault).
    """
    peak_kib = failure.memory_kib
    named: Failure
    if failure.reason == "out-of-memory":
        named = out_of_memory(peak_kib, memory_mb)
    elif failure.reason == "processes":
        named = too_many_processes(bounds.processes, bounds, peak_kib)
    elif failure.reason == "open-files":
        limit = str(bounds.open_files)
        named = Failure("open-files", f"Too many open files: {limit} of {limit}.", memory_kib=peak_kib, limit=limit)
    elif fault.get("reason") == "file-too-large":
        limit = f"{bounds.disk_mb} MB"
        named = Failure("disk-full", f"A file is too large: {limit} of {limit}.", memory_kib=peak_kib, limit=limit)
    elif failure.reason in ("disk-full", "inodes"):
        named = _folder_full(failure, fault, bounds)
    else:
        return failure
    detail = failure.detail and f"{named.message}\n{failure.detail}"
    return replace(named, name=failure.name, detail=detail)


def _folder_full(failure: Failure, fault: dict[str, Any], bounds: Bounds) -> Failure:
    most = bounds.disk_bytes if failure.reason == "disk-full" else bounds.inodes
    size, used = (fault.get(name) for name in ("size", "used"))
    if not (isinstance(size, int) and isinstance(used, int) and 0 < size <= most + _INODES_OF_OURS):
        message = f"The disk is full, though not by this function alone: its own limit is {bounds.disk_mb} MB."
        return Failure(failure.reason, message, memory_kib=failure.memory_kib, limit=f"{bounds.disk_mb} MB")
    named = disk_full if failure.reason == "disk-full" else out_of_inodes
    return named(min(used, most), bounds, failure.memory_kib)
