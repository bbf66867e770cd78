"""Runs the processes of a build, and brings what they print line by line.

When a build runs out of time or is given up, all that it has started is killed. `jail` puts walls around its tools;
where a host has none, a tool is a process like any other, whose memory is bounded, since what it reads is a stranger's.
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudserve.core.config import MEBIBYTE

PYTHON: Final = os.path.realpath(sys.executable)
"""This interpreter, outside of the environment with the platform's packages."""

MEMORY_BYTES: Final = 2 * 1024 * MEBIBYTE
"""Data that each process of a tool may have (RLIMIT_DATA); npm and esbuild stay far below it."""

_CHUNK_BYTES: Final = 64 * 1024
_MAX_OUTPUT_BYTES: Final = 256 * 1024
_GUARD: Final = (
    (
        sys.executable,
        *("-I", "-S", "-c"),
        # prctl(PR_SET_PDEATHSIG, SIGKILL), which survives exec; whoever lost its parent before that ends at once.
        "import ctypes, os, sys; parent = int(sys.argv[1]); ctypes.CDLL(None).prctl(1, 9); "
        "os.getppid() == parent or os._exit(1); os.execvp(sys.argv[2], sys.argv[2:])",
    )
    if sys.platform == "linux"
    else ()
)


class Output:
    """What a build printed: its first 256 KiB, and a word when more was dropped."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._full = False

    def write(self, line: str) -> None:
        """Adds a line."""
        if self._full:
            return
        self._size += len(line) + 1
        if self._size > _MAX_OUTPUT_BYTES:
            self._full = True
            line = "… the rest of the output was dropped."
        self._lines.append(line)

    @property
    def text(self) -> str:
        """Everything so far."""
        return "".join(f"{line}\n" for line in self._lines)


@dataclass(frozen=True, slots=True)
class Finished:
    """A tool that ended by itself.

    `text` is what it printed, standard error included; `refused` are the places that it tried to reach in vain, each
    once, as `host:port` where the host's name is known.
    """

    code: int
    text: str
    refused: tuple[str, ...] = ()


async def run(
    arguments: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
    guarded: bool = False,
    on_line: Callable[[str], None] | None = None,
) -> Finished:
    """Runs a program without walls. A caller that is cancelled, or runs out of time, takes the process group along.

    A guarded program also ends when this process is killed; that costs a few milliseconds, for tools that take seconds.
    """
    process = await asyncio.create_subprocess_exec(
        *([*_GUARD, str(os.getpid())] if guarded and _GUARD else ()),
        *arguments,
        cwd=folder,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        _limit_memory(process.pid)
        assert process.stdout is not None  # noqa: S101 - it was asked for above
        text = await read_output(process.stdout, on_line)
        code = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return Finished(code, text)


def _limit_memory(pid: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            resource.prlimit(pid, resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


async def read_output(stream: asyncio.StreamReader, on_line: Callable[[str], None] | None) -> str:
    """Reads what a tool prints to its end, at most `_MAX_OUTPUT_BYTES` of which is kept."""
    kept: list[bytes] = []
    size = 0
    rest = b""
    while chunk := await stream.read(_CHUNK_BYTES):
        if size < _MAX_OUTPUT_BYTES:
            kept.append(chunk)
            size += len(chunk)
        if on_line is None:
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            on_line(line.decode(errors="replace").rstrip())
        rest = rest[-_CHUNK_BYTES:]
    if on_line is not None and rest.strip():
        on_line(rest.decode(errors="replace").rstrip())
    return b"".join(kept).decode(errors="replace")
