"""How much memory is short, on the host and in the groups around the platform."""

from pathlib import Path

import pytest

from cloudserve.sandbox.watch.pressure import Pressure

GIB = 1024 * 1024


class Machine:
    """Files as the kernel would have them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = root / "proc"
        (self.proc / "self").mkdir(parents=True)
        self.memory(total=16 * GIB, left=8 * GIB)
        self.mounted("")

    def memory(self, *, total: int, left: int) -> None:
        (self.proc / "meminfo").write_text(
            f"MemTotal: {total} kB\nMemFree: 1 kB\nMemAvailable: {left} kB\nHugePages: 0\n"
        )

    def mounted(self, line: str, groups: str = "") -> None:
        (self.proc / "self" / "mountinfo").write_text(line)
        (self.proc / "self" / "cgroup").write_text(groups)

    def group(self, folder: Path, **files: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(f"{content}\n")

    def v2(self) -> Path:
        tree = self.root / "tree"
        self.mounted(f"31 23 0:28 / {tree} rw - cgroup2 cgroup2 rw\n", "0::/pod/unit\n")
        return tree

    def v1(self) -> Path:
        tree = self.root / "tree"
        self.mounted(f"31 23 0:28 / {tree} rw - cgroup cgroup rw,memory\n", "4:memory:/pod/unit\n")
        return tree


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A host with memory to spare and no groups."""
    return Machine(tmp_path)


def test_nothing_is_short_where_there_is_room(machine: Machine) -> None:
    """As on this very host, while tests run."""
    assert Pressure(machine.proc).shortage_kib() == 0
    assert Pressure().shortage_kib() == 0


@pytest.mark.parametrize(
    ("total", "left", "shortage"),
    [(16 * GIB, 0.5 * GIB, 0.3 * GIB), (64 * GIB, 0.5 * GIB, 0.5 * GIB), (GIB // 2, 60 * 1024, 4 * 1024)],
    ids=["a twentieth", "a gigabyte at most", "64 megabytes at least"],
)
def test_the_host_keeps_a_reserve(machine: Machine, total: int, left: float, shortage: float) -> None:
    """What is missing to it is short."""
    machine.memory(total=total, left=int(left))
    assert abs(Pressure(machine.proc).shortage_kib() - shortage) <= 1


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_tightest_group_around_the_platform_counts(machine: Machine, version: str) -> None:
    """Caches that the kernel would give up are no use of it; a group without a limit has none."""
    mebibyte = 1024 * 1024
    if version == "v2":
        tree = machine.v2()
        machine.group(tree / "pod" / "unit", memory__max="max", memory__current=10 * mebibyte)
        machine.group(tree / "pod", memory__max=512 * mebibyte, memory__current=500 * mebibyte)
        (tree / "pod" / "memory.stat").write_text(f"anon 1\ninactive_file {20 * mebibyte}\n")
    else:
        tree = machine.v1()
        unlimited = 0x7FFFFFFFFFFFF000
        for folder, most in ((tree / "pod" / "unit", unlimited), (tree / "pod", 512 * mebibyte), (tree, unlimited)):
            machine.group(folder, memory__limit_in_bytes=most, memory__usage_in_bytes=500 * mebibyte)
            (folder / "memory.stat").write_text(f"inactive_file 3\ntotal_inactive_file {20 * mebibyte}\n")
    assert Pressure(machine.proc).shortage_kib() == (64 - 32) * 1024


def test_a_group_that_has_gone_counts_no_more(machine: Machine) -> None:
    """Nor does a host that tells nothing."""
    tree = machine.v2()
    machine.group(tree / "pod" / "unit", memory__max=1, memory__current=1)
    pressure = Pressure(machine.proc)
    assert pressure.shortage_kib() > 0
    (tree / "pod" / "unit" / "memory.max").unlink()
    (machine.proc / "meminfo").unlink()
    assert pressure.shortage_kib() == 0
