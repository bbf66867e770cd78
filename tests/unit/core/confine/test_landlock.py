"""Landlock rulesets: what is allowed stays, all else is denied."""

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudserve.core.confine import landlock
from tests.unit.core.confine.forked import forked

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="landlock is of Linux"),
    pytest.mark.skipif(
        landlock.abi() == 0 and os.environ.get("CI") != "true",
        reason="this kernel has no landlock: see /sys/kernel/security/lsm",
    ),
]


def refusal(work: Callable[[], object]) -> str | None:
    """Returns the name of the error that something ends with."""
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return None


def test_only_what_is_allowed_can_be_touched(tmp_path: Path) -> None:
    """A folder to read can be read but not written, one to write both, and any other neither."""
    for name in ("read", "write", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")

    def child() -> dict[str, tuple[str | None, str | None]]:
        with landlock.Ruleset() as rules:
            rules.allow(str(tmp_path / "read"), landlock.READ)
            rules.allow(str(tmp_path / "write"), landlock.WRITE)
            rules.enforce()
        return {
            name: (
                refusal((tmp_path / name / "file").read_text),
                refusal(lambda name=name: (tmp_path / name / "new").write_text("x")),
            )
            for name in ("read", "write", "other")
        }

    assert forked(child) == {"read": (None, "EACCES"), "write": (None, None), "other": ("EACCES", "EACCES")}


def test_a_rule_can_be_on_a_file(tmp_path: Path) -> None:
    """One file is allowed, its neighbour is not."""
    for name in ("one", "two"):
        (tmp_path / name).write_text("x")

    def child() -> list[str | None]:
        with landlock.Ruleset() as rules:
            rules.allow(str(tmp_path / "one"), landlock.WRITE)
            rules.enforce()
        return [refusal((tmp_path / name).read_text) for name in ("one", "two")]

    assert forked(child) == [None, "EACCES"]


@pytest.mark.skipif(landlock.abi() < 4 and os.environ.get("CI") != "true", reason="TCP rules came with Linux 6.7")
@pytest.mark.parametrize(("tcp", "expected"), [(False, "EACCES"), (True, None)])
def test_tcp_is_denied_unless_asked_for(tcp: bool, expected: str | None) -> None:
    """Neither binding nor connecting is possible without `tcp`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

        def child() -> list[str | None]:
            with landlock.Ruleset(tcp=tcp) as rules:
                rules.enforce()
            with socket.socket() as one, socket.socket() as two:
                return [refusal(lambda: one.connect(address)), refusal(lambda: two.bind(("127.0.0.1", 0)))]

        assert forked(child) == [expected, expected]


@pytest.mark.skipif(landlock.abi() < 6 and os.environ.get("CI") != "true", reason="scopes came with Linux 6.12")
def test_signals_stay_within() -> None:
    """A process under rules can signal its own children and nobody else."""
    outside = os.getpid()

    def child() -> list[str | None]:
        with landlock.Ruleset() as rules:
            rules.enforce()
        own = os.fork()
        if own == 0:
            signal.pause()
        said = [refusal(lambda: os.kill(outside, 0)), refusal(lambda: os.kill(own, signal.SIGKILL))]
        os.waitpid(own, 0)
        return said

    assert forked(child) == ["EPERM", None]


def test_a_rule_for_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A path that is mistyped must not pass for one that is allowed; nothing is left open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one word
    with landlock.Ruleset() as rules, pytest.raises(FileNotFoundError):
        rules.allow(str(tmp_path / "none"), landlock.READ)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - one word
