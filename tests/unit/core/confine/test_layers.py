"""What is tried is true: on this host, as root, as an ordinary user, and where the host allows less."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudserve.core.confine import layers
from cloudserve.core.confine.host import Host
from cloudserve.core.confine.layers import EACH_WAY, NAMES, Tried, judge, try_layers
from cloudserve.core.confine.tiers import detect

PLATFORM = Path(__file__).parents[4] / "platform"
PYTHON = Path("/usr/bin/python3")
"""One that every user can run."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has layers to try")

TELL = """
import json, sys, types
package = types.ModuleType("cloudserve")
package.__path__ = [sys.argv[1]]
sys.modules["cloudserve"] = package
from cloudserve.core.confine.tiers import detect
print(json.dumps(detect().as_dict()))
"""


@pytest.fixture
def code() -> Iterator[Path]:
    """The platform's code where every user can read it; pytest's own folders are for one user."""
    with tempfile.TemporaryDirectory(prefix="cloudserve-test-layers-") as made:
        folder = Path(made)
        shutil.copytree(PLATFORM / "core", folder / "core", ignore=shutil.ignore_patterns("__pycache__"))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield folder


def told_by(code: Path, *before: str) -> dict[str, Any]:
    """Returns what a process that is started so finds."""
    command = [*before, str(PYTHON), "-I", "-S", "-c", TELL, str(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def off(told: dict[str, Any]) -> dict[str, str]:
    return {layer["name"]: f"{layer['why']}: {layer['remedy']}" for layer in told["layersOff"]}


ORDINARY = ("setpriv", "--reuid", "61200", "--regid", "61200", "--clear-groups")


@needs_linux
def test_every_layer_is_tried_once() -> None:
    """The second time the first answer comes back."""
    tries = try_layers()
    assert [layer.name for layer in tries.own] == list(NAMES)
    assert [layer.name for layer in tries.user] == list(NAMES)
    assert try_layers() is tries
    assert detect().layers in (tries.own, tries.user)


@needs_root
def test_an_ordinary_user_has_tier_b(code: Path) -> None:
    """All but what takes root, which is named with the command."""
    told = told_by(code, *ORDINARY)
    assert told["tier"] == "B", off(told)
    assert "sudo ./cloudserve up" in off(told)["other-users"]


@needs_root
def test_no_user_namespaces_leave_tier_c(code: Path) -> None:
    """The limit is set in a user namespace of the test's own, so that the host's stays as it is."""
    narrow = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    told = told_by(code, *ORDINARY, "unshare", "--user", "--map-root-user", "/bin/sh", "-ec", narrow, "sh")
    assert told["tier"] == "C", off(told)
    assert "sysctl -w user.max_user_namespaces" in off(told)["user-namespace"]
    assert "sysctl -w user.max_user_namespaces" in off(told)["tmpfs"]


@needs_root
def test_trying_leaves_nothing_behind(code: Path) -> None:
    """No process, no mount."""

    def left() -> tuple[str, str]:
        mounts = Path("/proc/self/mountinfo").read_text()
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return mounts, "\n".join(line for line in listed.splitlines() if str(code) in line)

    before = left()
    told_by(code)
    assert left() == before


def test_what_the_probe_did_not_say_is_off() -> None:
    """Such as where it could not even start."""
    tries = judge({}, Host(release="6.12.0", euid=1000))
    assert not any(layer.on for layer in (*tries.own, *tries.user))


def test_a_host_that_is_too_busy_to_try_anything_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not tried can't be counted on; starting goes on to say so."""
    monkeypatch.setattr(layers, "_SECONDS", 0.0)
    assert layers._run_probe() == {}


def test_the_two_ways_are_told_apart() -> None:
    """What this process may do itself, and what it may do in a user namespace."""
    tried = {f"user/{name}": Tried(0) for name in EACH_WAY} | {f"own/{name}": Tried(1) for name in EACH_WAY}
    tries = judge(tried, Host(euid=1000))
    assert {layer.name for layer in tries.user if layer.on} == set(EACH_WAY)
    assert not any(layer.on for layer in tries.own)
