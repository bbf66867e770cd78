"""What processes use, told of real ones."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudserve.cli.bench.memory import proportional_kib, resident_kib
from cloudserve.cli.bench.processes import cpu_between, cpu_seconds, environment, settle, tree

ROOT = Path(__file__).parents[4]
PARENT = (
    "import subprocess, sys\n"
    "child = 'import sys; sum(range(20_000_000)); print(1, flush=True); sys.stdin.read()'\n"
    "subprocess.run([sys.executable, '-c', child])\n"
)


@pytest.fixture
def busy() -> Iterator["subprocess.Popen[str]"]:
    """A process whose child has computed for a while and then waits."""
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.communicate()


def test_a_tree_is_a_process_and_all_below_it(busy: "subprocess.Popen[str]") -> None:
    """Grandchildren of the caller included."""
    assert tree(busy.pid)[0] == busy.pid
    assert len(tree(busy.pid)) == 2


def test_the_cpu_time_is_that_of_the_whole_tree(busy: "subprocess.Popen[str]") -> None:
    """The child has computed, its parent has not."""
    used = cpu_seconds(busy.pid)
    assert set(used) == set(tree(busy.pid))
    child = next(pid for pid in used if pid != busy.pid)
    assert used[child] > 0.05
    assert cpu_between({}, used) == pytest.approx(sum(used.values()))
    assert cpu_between(used, used) == 0


def test_a_process_that_began_in_between_counts_whole() -> None:
    """And one that ended no more."""
    assert cpu_between({1: 2.0, 2: 5.0}, {1: 2.5, 3: 1.0}) == pytest.approx(1.5)


def test_settling_ends_when_nothing_is_done_any_more(busy: "subprocess.Popen[str]") -> None:
    """Long before the time is up."""
    settle(busy.pid, 60)


def test_what_has_ended_uses_nothing() -> None:
    """Nor is it an error to ask."""
    process = subprocess.Popen(["true"])
    process.wait()
    assert tree(process.pid) == []
    assert cpu_seconds(process.pid) == {}
    assert proportional_kib([process.pid]) == 0


def test_orphans_are_adopted_and_waited_for() -> None:
    """In a process of its own: what a child of it leaves behind becomes its child, and is gone after."""
    script = (
        "import os, subprocess, sys, time\n"
        "from cloudserve.cli.bench.processes import adopt_orphans, reap_orphans, tree\n"
        "adopt_orphans()\n"
        "subprocess.run(['sh', '-c', 'sleep 0.5 & exit 0'], check=True)\n"
        "print(len(tree(os.getpid())))\n"
        "reap_orphans()\n"
        "print(len(tree(os.getpid())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT / ".src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["2", "1"]


def test_memory_is_the_kernels_account() -> None:
    """What is shared counts in parts in the one figure, and whole in the other."""
    assert 0 < proportional_kib([os.getpid()]) <= resident_kib([os.getpid()])


def test_what_is_measured_gets_no_setting_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a platform nor of a language."""
    for name in ("CLOUDSERVE_MAX_WORKERS", "NODE_OPTIONS", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "1")
    assert not {"CLOUDSERVE_MAX_WORKERS", "NODE_OPTIONS", "PYTHONSTARTUP"} & set(environment())
    assert environment()["PATH"] == os.environ["PATH"]
