"""How the platform is composed, by what the host gives."""

import logging
from pathlib import Path

import pytest

from cloudserve.cli.services.host import local_sandbox, log_walls
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.confine.layers import Layer
from cloudserve.core.confine.tiers import Protection, Tier
from cloudserve.sandbox.abc import Sandbox
from cloudserve.sandbox.claims import ClaimedSandbox
from cloudserve.sandbox.pool import LocalSandbox


@pytest.mark.parametrize(
    ("tier", "kind"), [("A", LocalSandbox), ("B", LocalSandbox), ("C", ClaimedSandbox), ("none", LocalSandbox)]
)
def test_only_tier_c_serves_one_owner_at_a_time(tmp_path: Path, tier: Tier, kind: type[Sandbox]) -> None:
    """Elsewhere walls keep owners apart, or nothing would."""
    made = local_sandbox(Settings.load(data_dir=tmp_path), DataFolder(tmp_path), Protection(tier, ()))
    assert type(made) is kind


def test_the_log_tells_the_walls(caplog: pytest.LogCaptureFixture) -> None:
    """The tier, what is on, and what is off with why and the command."""
    caplog.set_level(logging.INFO)
    log_walls(Protection("C", (Layer("seccomp", True), Layer("proc", False, "it is masked", "docker it"))))
    assert "walls: tier C, files, system calls and connections confined, one owner at a time" in caplog.messages
    assert "walls: on are seccomp" in caplog.messages
    assert "walls: off: proc: it is masked. Remedy: docker it" in caplog.messages


def test_the_log_warns_where_there_are_no_walls(caplog: pytest.LogCaptureFixture) -> None:
    """Which only who asked for it gets to see."""
    log_walls(Protection("none", ()))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "functions can read and do what this user can" in caplog.text
