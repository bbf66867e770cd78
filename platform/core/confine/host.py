"""What is known of a host beside what can be tried on it: the facts that tell why a layer is off."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Container = Literal["", "docker", "podman", "kubernetes"]

CAP_SYS_ADMIN: Final = 21
"""linux/capability.h."""

_BINFMT: Final = "/proc/sys/fs/binfmt_misc"


@dataclass(frozen=True, slots=True)
class Host:
    """The facts. `None` for a number that the kernel does not have.

    Attributes:
        capabilities: what this process may do, as the kernel's bits (`CapEff` of proc(5)).
        container: what kind of container this is, as far as it tells.
        filtered: whether a seccomp filter is already on this process.
        masked_proc: whether something is mounted over parts of /proc, which keeps a new one from being mounted.
        apparmor_restricts: whether AppArmor keeps user namespaces from ordinary programs (Ubuntu since 23.10).
        security_modules: the kernel's security modules in their order, as `lsm=` spells them.
    """

    system: str = "Linux"
    release: str = ""
    euid: int = 0
    capabilities: int = 0
    container: Container = ""
    filtered: bool = False
    masked_proc: bool = False
    apparmor_restricts: bool = False
    max_user_namespaces: int | None = None
    unprivileged_userns_clone: int | None = None
    security_modules: str = ""

    @property
    def may_administer(self) -> bool:
        """Whether this process has what mounts and namespaces ask for."""
        return bool(self.capabilities >> CAP_SYS_ADMIN & 1)

    def is_at_least(self, version: str) -> bool:
        """Whether this is that version of Linux or a newer one; both as `6.12`."""
        return _version(self.release) >= _version(version)


def this_host() -> Host:
    """Returns the facts of the host that this process runs on."""
    name = os.uname()
    if platform.system() != "Linux":
        return Host(system=platform.system(), release=name.release, euid=os.geteuid())
    status = dict(line.split(":\t", 1) for line in _text("/proc/self/status").splitlines() if ":\t" in line)
    return Host(
        release=name.release,
        euid=os.geteuid(),
        capabilities=int(status.get("CapEff", "0"), 16),
        container=_container(),
        filtered=status.get("Seccomp", "0") != "0",
        masked_proc=_masks_proc(_text("/proc/self/mountinfo")),
        apparmor_restricts=_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1,
        max_user_namespaces=_number("/proc/sys/user/max_user_namespaces"),
        unprivileged_userns_clone=_number("/proc/sys/kernel/unprivileged_userns_clone"),
        security_modules=_text("/sys/kernel/security/lsm").strip(),
    )


def _version(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release)[:2])


def _masks_proc(mountinfo: str) -> bool:
    """Tells whether anything is mounted over /proc but what every machine with systemd has there."""
    places = [line.split()[4] for line in mountinfo.splitlines()]
    return any(place.startswith("/proc/") and place != _BINFMT for place in places)


def _container() -> Container:
    if os.environ.get("KUBERNETES_SERVICE_HOST") or Path("/var/run/secrets/kubernetes.io").exists():
        return "kubernetes"
    if Path("/run/.containerenv").exists():
        return "podman"
    return "docker" if Path("/.dockerenv").exists() else ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None
