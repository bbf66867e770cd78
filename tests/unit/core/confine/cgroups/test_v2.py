"""Version 2's traffic of files, against a folder; the real one needs another kernel than most test machines have."""

import os
from pathlib import Path

import pytest

from cloudserve.core.confine import cgroups
from tests.unit.core.confine.cgroups.kernel import Kernel

GROUP = "user.slice/platform.service"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """This process in a delegated group of its own."""
    kernel = Kernel(tmp_path, GROUP)
    mkdir, rmdir = Path.mkdir, Path.rmdir

    def make(folder: Path, *args: int, parents: bool = False, exist_ok: bool = False) -> None:
        there = folder.is_dir()
        mkdir(folder, *args, parents=parents, exist_ok=exist_ok)
        if not there and kernel.tree in folder.parents:
            kernel.populate(folder)

    def remove(folder: Path) -> None:
        if (folder / "cgroup.procs").exists() and (folder / "cgroup.procs").read_text():
            raise OSError(16, "Device or resource busy")
        kernel.depopulate(folder)
        rmdir(folder)

    monkeypatch.setattr(Path, "mkdir", make)
    monkeypatch.setattr(Path, "rmdir", remove)
    return kernel


def test_the_platform_moves_to_a_leaf_and_hands_the_controllers_on(kernel: Kernel) -> None:
    """Only a group without processes can; so can the parent of the workers' groups."""
    parent = cgroups.open_parent(kernel.proc)
    assert (kernel.own / "cloudserve" / "cgroup.procs").read_text() == str(os.getpid())
    assert (kernel.own / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    (folder,) = parent.folders
    assert folder == kernel.own / f"cloudserve-{os.getpid()}-4711"
    assert (folder / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert 1 <= int((folder / "cpu.weight").read_text()) < 100 * (os.cpu_count() or 1)
    assert parent.controllers == {"memory", "pids", "cpu"}


def test_a_group_bounds_memory_swap_and_processes_and_dies_as_a_whole(kernel: Kernel) -> None:
    """Each bound is one file."""
    group = cgroups.open_parent(kernel.proc).new_group()
    (folder,) = group.folders
    group.bound(memory_bytes=1 << 20, processes=9)
    files = {name: (folder / name).read_text() for name in ("memory.max", "memory.swap.max", "pids.max")}
    assert files == {"memory.max": "1048576", "memory.swap.max": "0", "pids.max": "9"}
    assert (folder / "memory.oom.group").read_text() == "1"
    os.write(group.entries[0], b"0")
    assert (folder / "cgroup.procs").read_text() == "0"
    group.seal()
    assert group.entries == ()


def test_what_the_kernel_counted_is_read_from_it(kernel: Kernel) -> None:
    """Peak and deaths for want of memory; 0 once the group has gone."""
    group = cgroups.open_parent(kernel.proc).new_group()
    (folder,) = group.folders
    (folder / "memory.peak").write_text("7340032\n")
    (folder / "memory.events").write_text("oom 3\noom_kill 2\noom_group_kill 1\n")
    assert (group.peak_bytes(), group.oom_kills()) == (7340032, 2)
    assert group.remove()
    assert (group.peak_bytes(), group.oom_kills()) == (0, 0)


def test_a_group_with_processes_is_ended_first(kernel: Kernel) -> None:
    """It goes with the next try, when they have ended; the parent takes all along."""
    parent = cgroups.open_parent(kernel.proc)
    group = parent.new_group()
    (folder,) = group.folders
    (folder / "cgroup.procs").write_text("77\n")
    assert not group.remove()
    assert (folder / "cgroup.kill").read_text() == "1"
    assert not parent.close()
    (folder / "cgroup.procs").write_text("")
    assert parent.close()
    assert not folder.parent.exists()


def test_groups_of_platforms_that_have_ended_are_removed(kernel: Kernel) -> None:
    """Those of living ones are not, nor those of a process that only had the same number."""
    kernel.start(500, parent=1, at=100)
    stale, living, other = (kernel.own / f"cloudserve-{name}" for name in ("500-99", "500-100", "of-another"))
    for folder in (stale, stale / "3", living, other):
        folder.mkdir()
    cgroups.open_parent(kernel.proc)
    assert not stale.exists()
    assert living.exists()
    assert other.exists()


def test_a_successor_shares_the_leaf_and_has_a_parent_of_its_own(kernel: Kernel) -> None:
    """While one platform process hands over to the next, both are in the leaf."""
    (kernel.own / "cloudserve").mkdir()
    (kernel.proc / "self" / "cgroup").write_text(f"0::/{GROUP}/cloudserve\n")
    (kernel.own / "cgroup.procs").write_text("")
    assert cgroups.probe(kernel.proc) == "v2"
    assert cgroups.open_parent(kernel.proc).folders[0].parent == kernel.own


def test_trying_leaves_all_as_it_was(kernel: Kernel) -> None:
    """No process is moved and no folder stays."""
    before = sorted(kernel.own.iterdir())
    assert cgroups.probe(kernel.proc) == "v2"
    assert sorted(kernel.own.iterdir()) == before
    assert (kernel.own / "cgroup.procs").read_text() == f"{os.getpid()}\n"


def test_a_group_with_processes_of_others_is_not_ours(kernel: Kernel) -> None:
    """Ours are this process and those it descends from; whoever else is there would be moved too."""
    kernel.start(1, parent=0, at=1)
    (kernel.own / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    assert cgroups.probe(kernel.proc) == "v2"
    (kernel.own / "cgroup.procs").write_text(f"1\n{os.getpid()}\n500\n")
    with pytest.raises(cgroups.Unavailable, match=r"not the platform's alone.*Delegate=yes"):
        cgroups.open_parent(kernel.proc)


def test_a_group_without_controllers_says_how_to_get_them(kernel: Kernel) -> None:
    """As a user's session has it without delegation."""
    (kernel.own / "cgroup.controllers").write_text("cpu pids\n")
    with pytest.raises(cgroups.Unavailable, match="no controller for memory") as refused:
        cgroups.probe(kernel.proc)
    assert "systemd-run --user" in refused.value.remedy


def test_no_group_at_all_is_said_to_be_so(kernel: Kernel) -> None:
    """A container may see no control group file system."""
    (kernel.proc / "self" / "mountinfo").write_text("23 1 8:1 / / rw - ext4 /dev/vda rw\n")
    with pytest.raises(cgroups.Unavailable, match="no control group for memory and pids"):
        cgroups.open_parent(kernel.proc)
