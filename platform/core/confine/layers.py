"""The layers that walls are made of, each tried on this host: which are on, which are off, why, and what would help.

`try_layers` runs `probe` in a fresh interpreter of its own, because what is tried can't be taken back and because this
process may have threads, in which case it must not fork. It takes about 50 ms of processor time; the result is kept,
for neither the host nor this process's privileges change while it runs.
"""

import functools
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cloudserve.core import isolated
from cloudserve.core.confine import words
from cloudserve.core.confine.host import Host, this_host

NAMESPACES: Final = ("mount-namespace", "pid-namespace", "ipc-namespace", "network-namespace", "uts-namespace")
MOUNTS: Final = ("tmpfs", "proc", "pivot-root", "late-mount")
EACH_WAY: Final = (*NAMESPACES, *MOUNTS)
"""What is tried twice: with this process's own privileges, and with those that a user namespace gives."""

NAMES: Final = (
    "user-namespace",
    *EACH_WAY,
    "other-users",
    "capabilities",
    "landlock",
    "landlock-tcp",
    "landlock-signals",
    "seccomp",
    "seccomp-notification",
    "notifier-memory",
    "notifier-handover",
    "notifier-duplicates",
    "cgroups",
    "rlimits",
)
"""Every layer; docs/sandbox.md says what each one gives."""

_PROBE: Final = "cloudserve.core.confine.probe.tries"
_SECONDS: Final = 20.0
"""The probe ends a try that hangs by itself; this is for a host that is too busy to."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `why` says how it is on, where there is more than one way, or why it is off.

    `remedy` is the command, or the line of a manifest, that would turn it on.
    """

    name: str
    on: bool
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a try ended with: 0 or an errno, what it found besides, and the remedy where it knows one itself."""

    code: int
    found: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Tries:
    """The layers of a host. Of those in `EACH_WAY`, `own` has what this process's privileges give, `user` what a user
    namespace gives.
    """

    own: tuple[Layer, ...]
    user: tuple[Layer, ...]


def alike(layers: Iterable[Layer]) -> Iterator[tuple[str, str, str]]:
    """Yields the names of those that are off for one reason, the reason, and the remedy; for people to read."""
    causes: dict[tuple[str, str], list[str]] = {}
    for layer in layers:
        causes.setdefault((layer.why, layer.remedy), []).append(layer.name)
    for (why, remedy), names in causes.items():
        yield ", ".join(names), why, remedy


@functools.cache
def try_layers() -> Tries:
    """Tries every layer; afterwards returns what it found the first time."""
    host = this_host()
    if host.system != "Linux":
        off = tuple(Layer(name, False, *words.not_linux(host)) for name in NAMES)
        return Tries(off, off)
    return judge(_run_probe(), host)


def judge(tried: Mapping[str, Tried], host: Host) -> Tries:
    """Puts what was tried into words. Tries that the probe did not come to count as refused without a reason."""
    ways = []
    for way in ("own", "user"):
        made = []
        for name in NAMES:
            by = way if name in EACH_WAY else ""
            found = tried.get(f"{by}/{name}" if by else name, Tried(-1))
            if found.code == 0:
                made.append(Layer(name, True, found.found))
            elif found.remedy:
                made.append(Layer(name, False, found.found.rstrip("."), found.remedy))
            else:
                made.append(Layer(name, False, *words.explain(name, by, found.code, found.found, host)))
        ways.append(tuple(made))
    return Tries(*ways)


def _run_probe() -> dict[str, Tried]:
    """Runs the probe. What it could not print is missing from the result."""
    command = isolated.command(sys.executable, _PROBE)
    try:
        told: bytes = subprocess.run(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False, env={}, cwd="/"
        ).stdout
    except subprocess.TimeoutExpired as late:
        told = late.stdout or b""
    tried = {}
    for line in told.splitlines():
        name, code, found, remedy = json.loads(line)
        tried[name] = Tried(code, found, remedy)
    return tried
