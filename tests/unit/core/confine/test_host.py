"""The facts of a host are read as the kernel writes them."""

import os
import platform
import sys

import pytest

from cloudserve.core.confine.host import CAP_SYS_ADMIN, Host, _masks_proc, this_host


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have none of these facts")
def test_this_host_is_known() -> None:
    """As Python knows it too."""
    host = this_host()
    assert (host.system, host.release, host.euid) == ("Linux", platform.release(), os.geteuid())
    assert host.is_at_least("4.18")
    if os.geteuid() == 0 and not host.container:
        assert host.may_administer


@pytest.mark.parametrize(
    ("release", "version", "enough"),
    [
        ("6.12.0", "6.12", True),
        ("6.8.0-45-generic", "6.12", False),
        ("6.18.44-fc-v669", "6.7", True),
        ("5.13-rc1", "5.13", True),
        ("7.0", "6.12", True),
    ],
)
def test_versions_are_compared_by_their_numbers(release: str, version: str, enough: bool) -> None:
    """Not as text: 6.8 is older than 6.12."""
    assert Host(release=release).is_at_least(version) == enough


def test_capabilities_are_bits() -> None:
    """Only that of administering counts."""
    assert Host(capabilities=1 << CAP_SYS_ADMIN).may_administer
    assert not Host(capabilities=~(1 << CAP_SYS_ADMIN) & 0xFFFFFFFF).may_administer


@pytest.mark.parametrize(
    ("place", "masked"),
    [("/proc", False), ("/proc/kcore", True), ("/proc/acpi", True), ("/proc/sys/fs/binfmt_misc", False), ("/", False)],
)
def test_a_container_masks_parts_of_proc(place: str, masked: bool) -> None:
    """What systemd mounts there on every machine masks nothing."""
    assert _masks_proc(f"36 35 98:0 / {place} rw,noatime master:1 - ext3 /dev/root rw\n") == masked
