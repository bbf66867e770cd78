"""Why a layer is off, and the very command that turns it on."""

import errno

import pytest

from cloudserve.core.confine.host import CAP_SYS_ADMIN, Host
from cloudserve.core.confine.words import explain, not_linux

USER = Host(release="6.12.0", euid=1000, max_user_namespaces=1000)
ADMIN = 1 << CAP_SYS_ADMIN
DOCKER = Host(release="6.12.0", container="docker", filtered=True, masked_proc=True, max_user_namespaces=1000)
POD = Host(release="6.12.0", container="kubernetes", filtered=True, masked_proc=True, max_user_namespaces=1000)
UBUNTU = Host(release="6.8.0-45", euid=1000, apparmor_restricts=True, max_user_namespaces=1000)


@pytest.mark.parametrize(
    ("name", "way", "code", "host", "why", "remedy"),
    [
        ("user-namespace", "", errno.ENOSPC, Host(max_user_namespaces=0), "allows no user", "user.max_user_namespaces"),
        ("user-namespace", "", errno.EPERM, UBUNTU, "AppArmor", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("tmpfs", "user", errno.EACCES, UBUNTU, "AppArmor", "kernel.apparmor_restrict_unprivileged_userns=0"),
        (
            "user-namespace",
            "",
            errno.EPERM,
            Host(euid=1, max_user_namespaces=9, unprivileged_userns_clone=0),
            "ordinary users",
            "kernel.unprivileged_userns_clone=1",
        ),
        ("user-namespace", "", errno.EPERM, DOCKER, "seccomp profile of Docker", "--security-opt seccomp=unconfined"),
        ("user-namespace", "", errno.EPERM, POD, "seccomp profile of Kubernetes", "hostUsers: false"),
        ("proc", "user", errno.EPERM, DOCKER, "/proc are masked", "--security-opt systempaths=unconfined"),
        ("proc", "user", errno.EPERM, POD, "/proc are masked", "procMount: Unmasked"),
        ("mount-namespace", "own", errno.EPERM, USER, "takes root", "sudo ./cloudserve up"),
        ("mount-namespace", "own", errno.EPERM, DOCKER, "lacks CAP_SYS_ADMIN", "docker run --cap-add SYS_ADMIN"),
        (
            "tmpfs",
            "own",
            errno.EPERM,
            Host(container="podman", filtered=True),
            "lacks CAP_SYS_ADMIN",
            "podman run --cap-add SYS_ADMIN",
        ),
        ("other-users", "", errno.EPERM, USER, "takes root", "sudo ./cloudserve up"),
        ("other-users", "", errno.EINVAL, Host(capabilities=ADMIN, container="docker"), "CAP_SETUID", "docker run"),
        ("landlock", "", errno.ENOSYS, Host(release="5.4.0-99"), "Linux 5.4.0-99 is too old", "Linux 5.13"),
        (
            "landlock",
            "",
            errno.EOPNOTSUPP,
            Host(release="6.12.0", security_modules="lockdown,yama"),
            "not switched on",
            "lsm=landlock,lockdown,yama",
        ),
        ("landlock-tcp", "", -1, Host(release="6.1.0"), "too old", "Linux 6.7"),
        ("landlock-signals", "", -1, Host(release="6.8.0"), "too old", "Linux 6.12"),
        ("notifier-handover", "", errno.EINVAL, Host(release="5.13.0"), "too old", "Linux 5.14"),
        ("landlock", "", errno.ENOSYS, DOCKER, "seccomp profile of Docker", "--security-opt seccomp=unconfined"),
        ("late-mount", "user", errno.ENOSYS, Host(release="5.10.0"), "too old", "Linux 5.12"),
        ("notifier-duplicates", "", errno.EPERM, DOCKER, "seccomp profile of Docker", "seccomp=unconfined"),
        ("seccomp-notification", "", errno.EINVAL, Host(release="6.12"), "this kernel refuses it", "boot Linux"),
    ],
)
def test_the_likely_cause_is_named(  # noqa: PLR0917 - a row of the table above
    name: str, way: str, code: int, host: Host, why: str, remedy: str
) -> None:
    """With the errno, and the command for this kind of host."""
    told, help_ = explain(name, way, code, "", host)
    assert why in told
    assert remedy in help_
    if code > 0:
        assert errno.errorcode[code] in told


def test_another_system_is_named() -> None:
    """macOS has none of it."""
    why, remedy = not_linux(Host(system="Darwin"))
    assert "Darwin" in why
    assert "Linux" in remedy
