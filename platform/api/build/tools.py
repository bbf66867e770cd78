"""Runs the tools of a build: npm, pip and esbuild.

A tool gets a clean environment that keeps only what tells it how this host reaches its registries (the host's npm and
pip configuration, proxies, certificates), and a home and caches of its own. What it prints arrives line by line. When
its build runs out of time or is given up, its whole process group is killed. Its memory is bounded, since what it
reads is a stranger's.
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

_KEPT: Final = frozenset(
    {
        "PATH",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    }
)
_KEPT_PREFIXES: Final = ("PIP_", "NPM_CONFIG_")
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
    """A tool that ended by itself; `text` is what it printed, standard error included."""

    code: int
    text: str


def environment(home: Path, host: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the environment for a tool whose home and caches are under `home`."""
    kept = {
        name: value for name, value in host.items() if name.upper() in _KEPT or name.upper().startswith(_KEPT_PREFIXES)
    }
    # A home of its own would hide the host user's own files, so they are named.
    lowered = {name.lower() for name in kept}
    host_home = Path(host.get("HOME", "/"))
    npmrc = host_home / ".npmrc"
    if "npm_config_userconfig" not in lowered and npmrc.is_file():
        kept["NPM_CONFIG_USERCONFIG"] = str(npmrc)
    if "pip_config_file" not in lowered:
        config_home = Path(host.get("XDG_CONFIG_HOME") or host_home / ".config")
        for pip_conf in (config_home / "pip" / "pip.conf", host_home / ".pip" / "pip.conf"):
            if pip_conf.is_file():
                kept["PIP_CONFIG_FILE"] = str(pip_conf)
                break
    return kept | {
        "HOME": str(home),
        "NO_COLOR": "1",
        "NPM_CONFIG_CACHE": str(home / "npm"),
        "PIP_CACHE_DIR": str(home / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_USER": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


async def run(
    arguments: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
    guarded: bool = False,
    on_line: Callable[[str], None] | None = None,
) -> Finished:
    """Runs a tool to its end. A caller that is cancelled, or runs out of time, takes the whole process group along.

    A guarded tool also ends when this process is killed; that costs a few milliseconds, for tools that take seconds.
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
        text = await _read(process, on_line)
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


async def _read(process: asyncio.subprocess.Process, on_line: Callable[[str], None] | None) -> str:
    """Reads a tool's output to its end, at most `_MAX_OUTPUT_BYTES` of which is kept."""
    assert process.stdout is not None  # noqa: S101 - it was asked for above
    kept: list[bytes] = []
    size = 0
    rest = b""
    while chunk := await process.stdout.read(_CHUNK_BYTES):
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
