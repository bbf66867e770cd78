"""Version 1 on the real kernel: bounds hold, what ended a process is told, and nothing is left."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudserve.core.confine import cgroups
from cloudserve.core.confine.cgroups.places import Surroundings

MEBIBYTE = 1024 * 1024


def _why_not() -> str:
    try:
        return "" if cgroups.probe() == "v1" else "this host has version 2"
    except cgroups.Unavailable as unavailable:
        return str(unavailable)


pytestmark = pytest.mark.skipif(
    bool(_why_not()) and (os.environ.get("CI") != "true" or os.geteuid() != 0),
    reason=f"no control groups of version 1 here: {_why_not()}",
)


@pytest.fixture
def parent() -> Iterator[cgroups.Parent]:
    """A parent group, with all that tests leave in it taken away."""
    parent = cgroups.open_parent()
    yield parent
    _until(parent.close)
    assert not [folder for folder in parent.folders if folder.exists()]


def _until(condition: object) -> None:
    for _ in range(500):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to pass within five seconds")


def _run(group: cgroups.Group, code: str) -> "subprocess.Popen[bytes]":
    def enter() -> None:
        for entry in group.entries:
            os.write(entry, b"0")

    return subprocess.Popen(
        [sys.executable, "-I", "-c", code],
        preexec_fn=enter,  # noqa: PLW1509 - a process of one thread
        stdout=subprocess.PIPE,
    )


def test_who_holds_too_much_is_ended_and_the_kernel_says_so(parent: cgroups.Parent) -> None:
    """Its death is counted, and the peak is what it was let hold."""
    group = parent.new_group()
    group.bound(memory_bytes=64 * MEBIBYTE, processes=8)
    process = _run(group, "held = []\nwhile True: held.append(b'x' * 2 ** 20)")
    with process:
        assert process.wait() == -9
    assert group.oom_kills() == 1
    assert 60 * MEBIBYTE < group.peak_bytes() <= 64 * MEBIBYTE
    _until(group.remove)


def test_who_forks_too_much_is_refused(parent: cgroups.Parent) -> None:
    """Processes and threads count alike."""
    group = parent.new_group()
    group.bound(memory_bytes=64 * MEBIBYTE, processes=4)
    code = (
        "import os, threading\nlock = threading.Lock(); lock.acquire(); count = 0\n"
        "try:\n    while True: threading.Thread(target=lock.acquire, daemon=True).start(); count += 1\n"
        "except RuntimeError: print(count, flush=True); os._exit(0)"
    )
    with _run(group, code) as process:
        assert process.communicate()[0] == b"3\n"
    _until(group.remove)


def test_removing_a_group_ends_what_runs_in_it(parent: cgroups.Parent) -> None:
    """Also what forks as fast as it can."""
    group = parent.new_group()
    group.bound(memory_bytes=256 * MEBIBYTE, processes=20)
    code = (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n    else: print(flush=True, end='.')\n"
    )
    with _run(group, code) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        _until(group.remove)
        process.wait()
    assert not [folder for folder in group.folders if folder.exists()]


def test_trying_leaves_all_as_it_was() -> None:
    """No folder stays."""
    assert cgroups.probe() == "v1"
    own = Surroundings.read(Path("/proc"))
    assert not [folder for folder in own.folders.values() if list(folder.glob(f"{own.own_name()}*"))]


def test_groups_of_platforms_that_have_ended_are_removed() -> None:
    """By the next one that starts."""
    code = "from cloudserve.core.confine import cgroups\np = cgroups.open_parent(); p.new_group(); print(p.folders[0])"
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONPATH": path}, check=True
    )
    left = Path(done.stdout.decode().strip())
    assert left.exists()
    _until(cgroups.open_parent().close)
    assert not left.exists()


def test_a_part_of_the_tree_is_found_where_it_is_mounted(tmp_path: Path) -> None:
    """In a container the mount shows a part of the host's tree, and names in mountinfo are escaped."""
    own = tmp_path / "self"
    own.mkdir()
    (own / "cgroup").write_text("5:cpu,cpuacct:/docker/abc/in\n4:memory:/elsewhere\n1:name=systemd:/\n")
    (own / "mountinfo").write_text(
        "32 31 0:29 /docker/abc /sys/fs/a\\040b rw - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:30 /docker/abc /sys/fs/memory rw - cgroup cgroup rw,memory\n"
    )
    around = Surroundings.read(tmp_path)
    assert around.folders == {
        "cpu": Path("/sys/fs/a b/in"),
        "cpuacct": Path("/sys/fs/a b/in"),
        "memory": Path("/sys/fs/memory"),
    }
    assert around.unified is None
