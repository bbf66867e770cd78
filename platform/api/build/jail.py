"""Runs the tools of a build (npm, pip, esbuild, our own readers of strangers' sources) behind the walls of this host.

A tool sees the system's programs and libraries, the folders of its own build, and what else its `Access` names: nothing
of the data folder, of other builds, of the platform's environment. It reaches the hosts that its access names, and no
other. Each run has a jailer of its own, which raises the walls, watches and ends it (`jailer/`).

Where the host has no walls (tier `none`, which an operator must ask for), tools are plain processes.
"""

import asyncio
import functools
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.keeper import Keeper
from cloudserve.api.build.tools import MEMORY_BYTES, PYTHON, Finished, run
from cloudserve.core.config import MEBIBYTE
from cloudserve.core.confine.egress.resolvers import WORKER_OPTIONS
from cloudserve.core.confine.root import NOBODY, Bind, Root, system_root
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.confine.walls import FIRST_UID, UIDS

_OF_HOST: Final = ("/dev/random", "/dev/urandom", "/etc/hosts", "/etc/nsswitch.conf", "/etc/passwd", "/etc/resolv.conf")
_SYSTEMS_NAMES: Final = ("*-release", "*_version")
"""What a tool without a root of its own sees beside what all see: how to look names up, and what system this is."""

_PROGRAMS: Final = ("/usr/bin", "/bin")
_MOST_REFUSED: Final = 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one run may use.

    Args:
        processes: processes and threads of its user at once.
        open_files: descriptors in one process.
        memory_bytes: of all its processes together, and the data of each one (RLIMIT_DATA).
        disk_bytes: of the folders that it may write to, and of each file (RLIMIT_FSIZE).
        files: files and folders in them.
        cpu_seconds: of the processor, for each process; the time of a build is bounded by a setting.
    """

    processes: int = 256
    open_files: int = 8192
    memory_bytes: int = MEMORY_BYTES
    disk_bytes: int = 4096 * MEBIBYTE
    files: int = 400_000
    cpu_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class Access:
    """What one run may touch of the host, beside the system's programs and libraries.

    Args:
        write: folders of this build, which exist.
        sources: folders of this build, for reading.
        read: files and folders of the host.
        private: files with tokens and the like.
        hosts: `host:port` each.
    """

    write: tuple[Path, ...] = ()
    sources: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    private: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Jail:
    """The tools of one owner's builds run in it; `for_owner` makes it another's.

    `homes` is the folder for the owners' homes, which hold the caches of their installers: one owner's tools never read
    what another's have written.
    """

    protection: Protection
    homes: Path
    keeper: Keeper
    owner: str = ""
    bounds: Bounds = field(default_factory=Bounds)

    def for_owner(self, owner: str) -> "Jail":
        """Returns the jail of an owner, by id."""
        return replace(self, owner=owner)

    @property
    def home(self) -> Path:
        """The home of this owner's installers."""
        return self.homes / (self.owner or "nobody")

    async def make_home(self) -> Path:
        """Returns the home, made if need be."""
        await asyncio.to_thread(self._make_home)
        return self.home

    async def run(
        self,
        arguments: Sequence[str | Path],
        *,
        folder: Path,
        environment: Mapping[str, str],
        access: Access,
        on_line: Callable[[str], None] | None = None,
    ) -> Finished:
        """Runs a tool in `folder`. Raises `BuildFailed` when it passed a bound, `JailBroken` when no wall would stand.

        A caller that is cancelled takes all along that the tool has started; so does the end of this process.
        """
        if self.protection.tier == "none":
            return await run(arguments, folder=folder, environment=environment, guarded=True, on_line=on_line)
        name = Path(arguments[0]).name
        text, reports = await self.keeper.run(self._order(arguments, folder, environment, access), on_line)
        told: dict[str, list[Any]] = {}
        for report in reports:
            for kind, what in report.items():
                told.setdefault(kind, []).append(what)
        if "limit" in told:
            raise BuildFailed(f"The build was stopped: {name} used {told['limit'][0]}.")
        if "failed" in told or "exit" not in told:
            raise JailBroken(
                f"{name} could not be run behind walls: {told.get('failed', ['its jailer was killed'])[0]}"
            )
        return Finished(told["exit"][0], text, tuple(dict.fromkeys(told.get("refused", [])))[:_MOST_REFUSED])

    def _order(
        self, arguments: Sequence[str | Path], folder: Path, environment: Mapping[str, str], access: Access
    ) -> dict[str, Any]:
        node, npm = shutil.which("node"), shutil.which("npm")
        host = _host_root(node, npm)
        program, *rest = map(str, arguments)
        if "/" not in program:
            program = os.path.realpath(shutil.which(program) or program)
        path = [str(Path(node).resolve().parent)] if node is not None else []
        order: dict[str, Any] = {
            "tier": self.protection.tier,
            "uid": self._uid,
            "argv": [program, *rest],
            "environment": {**environment, "PATH": os.pathsep.join([*path, *_PROGRAMS])},
            "folder": str(folder),
            "write": [str(path) for path in access.write],
            "own": [str(path) for path in (*access.write, *access.sources) if path != self.home],
            "hosts": list(access.hosts),
            "keeps_sockets": not self.protection.has("notifier-handover"),
            "scoped": self.protection.has("landlock-signals"),
            "bounds": asdict(self.bounds),
        }
        if self.protection.tier == "C":
            order["environment"]["RES_OPTIONS"] = WORKER_OPTIONS
            order["read"] = _readable(host, access)
        else:
            order["root"] = asdict(self._root(host, access, order["uid"], folder))
            order["read"] = ["/"]
        return order

    @property
    def _uid(self) -> int:
        """The user that this owner's tools are at tier A, always the same, because their cache belongs to it."""
        return FIRST_UID + int.from_bytes(hashlib.sha256(self.owner.encode()).digest()[:8]) % UIDS

    def _make_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        if self.protection.tier == "A" and self.home.stat().st_uid != self._uid:
            os.chown(self.home, self._uid, self._uid)

    def _root(self, host: Root, access: Access, uid: int, folder: Path) -> Root:
        """Returns the root of one run, with the host's files at their own places."""
        binds = [Bind(str(path)) for path in (*access.read, *access.sources)]
        root = host.plus(binds=[*binds, *(Bind(str(path), writable=True) for path in access.write)])
        user = uid if self.protection.tier == "A" else NOBODY
        files = {"/etc/passwd": f"build:x:{user}:{user}::{folder}:/bin/false\n"}
        for path in access.private:
            # A copy, which the tool's user can read; but what a bind shows can only be seen as it is.
            if not any(path.is_relative_to(bind.place) for bind in root.binds):
                files[str(path)] = path.read_text(encoding="utf-8", errors="replace")
        return root.plus(files=files)


def _readable(host: Root, access: Access) -> list[str]:
    """Returns what a tool may read that has no root of its own."""
    names = [str(path) for pattern in _SYSTEMS_NAMES for path in Path("/etc").glob(pattern)]
    of_host = [bind.source for bind in host.binds if not bind.device]
    own = [str(path) for path in (*access.read, *access.sources, *access.private)]
    return [path for path in (*of_host, *_OF_HOST, *names, *own) if Path(path).exists()]


class JailBroken(Exception):  # noqa: N818 - reads as what it is
    """The walls around a tool could not be raised, which is no fault of the build's; the message says why."""


@functools.cache
def _host_root(node: str | None, npm: str | None) -> Root:
    """Returns what every tool sees: the system, this interpreter without the platform's own packages, Node.js, npm."""
    shown = [] if node is None else [os.path.realpath(node)]
    if npm is not None:
        program = Path(npm).resolve()
        package = next((folder for folder in program.parents if (folder / "package.json").is_file()), program)
        shown.append(str(package))
    interpreter = {sys.base_prefix, sys.base_exec_prefix, PYTHON}
    return system_root(shown=shown, interpreter=sorted(interpreter))


def refused(finished: Finished, *commands: str) -> BuildFailed:
    """Returns the failure of an installer that was refused connections; `commands` set up what it may reach."""
    places = ", ".join(f"`{place}`" for place in finished.refused)
    ways = " or ".join(f"`{command} …`" for command in commands)
    return BuildFailed(
        f"The build was refused a connection to {places}: a build reaches the registries that the platform's host is "
        "set up to use, and no other place. Ask for packages that they have; or, if this is one of them, have the "
        f"operator say so with {ways}."
    )
