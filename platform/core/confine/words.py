"""Why a layer is off, in words, and what would turn it on: from the errno of its try and the facts of the host.

What is said is the likely cause. The kernel gives one errno for many reasons, so the facts decide which to name, and
the errno is always told too.
"""

import errno
import os
from typing import Final

from cloudserve.core.confine.host import Host

Words = tuple[str, str]
"""Why, and the remedy."""

DOCKER: Final = (
    "docker run --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined …"
)
DOCKER_PLAIN: Final = (
    "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined …"
)
POD: Final = (
    "in the pod's manifest: spec.hostUsers: false, and for the container securityContext: "
    "{capabilities: {add: [SYS_ADMIN]}, procMount: Unmasked, seccompProfile: {type: Unconfined}, "
    "appArmorProfile: {type: Unconfined}}"
)
AS_ROOT: Final = "sudo ./cloudserve up"
NEWER_KERNEL: Final = "boot Linux {0} or newer, such as: sudo apt install linux-generic-hwe-24.04 && sudo reboot"

_PLAIN_ROOT: Final = "this root lacks CAP_SYS_ADMIN, as in a container without privileges"
_KERNEL_OF: Final = {
    "landlock": "5.13",
    "landlock-tcp": "6.7",
    "landlock-signals": "6.12",
    "late-mount": "5.12",
    "notifier-handover": "5.14",
}
"""The first Linux that has it."""


def not_linux(host: Host) -> Words:
    """Returns the words for every layer on another system."""
    return f"{host.system} has nothing like it.", "run the platform on Linux, such as in a virtual machine"


def explain(name: str, way: str, code: int, found: str, host: Host) -> Words:
    """Returns why a layer is off and what would turn it on.

    Args:
        name: the layer.
        way: `own` or `user`, for those that are tried both ways; else nothing.
        code: the errno; -1 where there is none.
        found: what the try said.
        host: the facts.
    """
    said = f"{errno.errorcode.get(code, code)}, {os.strerror(code)}" if code > 0 else found or "not tried"
    needed = _KERNEL_OF.get(name)
    if needed and not host.is_at_least(needed):
        why, remedy = f"Linux {host.release} is too old for it", NEWER_KERNEL.format(needed)
    elif name.startswith("landlock"):
        why, remedy = _landlock(name, code, host)
    elif name == "user-namespace" or (way == "user" and code in (errno.EPERM, errno.EACCES, errno.ENOSPC)):
        why, remedy = _user_namespace(name, code, host)
    elif way == "own" or name == "other-users":
        why, remedy = _privileges(name, host)
    else:
        why, remedy = _filtered(host)
    return f"{why} ({said})", remedy


def _landlock(name: str, code: int, host: Host) -> Words:
    if code == errno.EOPNOTSUPP or (host.security_modules and "landlock" not in host.security_modules.split(",")):
        modules = host.security_modules or "capability"
        return (
            "landlock is built into this kernel but was not switched on when it was booted",
            f"""sudo sed -i 's/^GRUB_CMDLINE_LINUX="/&lsm=landlock,{modules} /' /etc/default/grub """
            "&& sudo update-grub && sudo reboot",
        )
    if host.filtered:
        return _filtered(host)
    return "this kernel was built without it", NEWER_KERNEL.format(_KERNEL_OF[name])


def _user_namespace(name: str, code: int, host: Host) -> Words:
    """The words for a user namespace, and for what can't be done in one."""
    if host.max_user_namespaces == 0:
        return "this host allows no user namespaces", "sudo sysctl -w user.max_user_namespaces=65536"
    if host.unprivileged_userns_clone == 0:
        return (
            "this host keeps user namespaces from ordinary users",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if host.apparmor_restricts and code in (errno.EPERM, errno.EACCES):
        return (
            "AppArmor restricts user namespaces on this host",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if name == "proc" and host.masked_proc:
        return "parts of this container's /proc are masked, which keeps another one from being mounted", _remedy(host)
    if host.euid == 0 and not host.may_administer and not host.filtered:
        return _PLAIN_ROOT, _remedy(host, privileges=True)
    return _filtered(host)


def _privileges(name: str, host: Host) -> Words:
    """The words for what takes privileges of the host."""
    if host.euid != 0:
        return "it takes root", AS_ROOT
    if name == "proc" and host.masked_proc and host.may_administer:
        return "parts of this container's /proc are masked, which keeps another one from being mounted", _remedy(host)
    if not host.may_administer and name != "other-users":
        return _PLAIN_ROOT, _remedy(host, privileges=True)
    if name == "other-users":
        return "this root lacks CAP_SETUID and CAP_SETGID, or has no other users", _remedy(host, privileges=True)
    return _filtered(host)


def _filtered(host: Host) -> Words:
    if host.filtered and host.container:
        return f"the seccomp profile of {host.container.title()} refuses it", _remedy(host)
    if host.filtered:
        return "a seccomp filter around this process refuses it", "start the platform without that filter"
    return "this kernel refuses it", NEWER_KERNEL.format("6.12")


def _remedy(host: Host, *, privileges: bool = False) -> str:
    """Returns how the container, or the platform where there is none, would have to be started."""
    if host.container == "kubernetes":
        return POD
    if not host.container:
        return AS_ROOT
    command = DOCKER if privileges else DOCKER_PLAIN
    return command.replace("docker", "podman", 1) if host.container == "podman" else command
