"""Which processes belong to a worker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from cloudserve.sandbox.watch import births
from cloudserve.sandbox.watch.tree import Forest, Tree

FAMILY = """
import os, sys, time
if os.fork() == 0:
    time.sleep(0.3)  # seen once, before it leaves its own child alone
    pid = os.fork()
    if pid == 0:
        held = bytearray(b"x") * (32 << 20)
        print("ready", flush=True)
        time.sleep(60)
    time.sleep(0.3)
    os._exit(0)
print(os.getpid(), flush=True)
os.wait()
print("alone", flush=True)
sys.stdin.read()
"""


SHARING = """
import os, sys, time
held = bytearray(b"x") * (32 << 20)
for _ in range(4):
    if os.fork() == 0:
        time.sleep(60)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def forest() -> Iterator[Forest]:
    """A forest with nothing in it."""
    forest = Forest()
    yield forest
    forest.close()


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[bytes]"]:
    """A process whose grandchild holds memory after its child has left."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def _seen(forest: Forest, tree: Tree, count: int) -> bool:
    for _ in range(200):
        forest.grow()
        if tree.look().threads == count:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("numbers", [births._MOST_NUMBERS, -1], ids=["number by number", "all of them"])
def test_what_a_worker_started_belongs_to_it(
    forest: Forest, worker: "subprocess.Popen[bytes]", numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what has lost its parent since; what has ended is forgotten."""
    monkeypatch.setattr(births, "_MOST_NUMBERS", numbers)
    tree = forest.plant(worker.pid)
    assert worker.stdout is not None
    assert _seen(forest, tree, 2)
    assert worker.stdout.readline()
    assert _seen(forest, tree, 3)
    assert worker.stdout.readline() == b"ready\n"
    assert worker.stdout.readline() == b"alone\n"
    assert _seen(forest, tree, 2)
    assert len(tree.gauges) == 2
    assert tree.memory_kib() > 32 * 1024
    forest.fell(tree)


def test_others_belong_to_nobody(forest: Forest) -> None:
    """A process that no worker started is in no tree."""
    tree = forest.plant(os.getppid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        forest.grow()
        forest.grow()
        assert other.pid not in tree.gauges
        other.communicate(b"\n")
    forest.fell(tree)


def test_memory_that_forked_children_share_is_counted_once_before_it_counts_against_them(forest: Forest) -> None:
    """What is only inherited, and never written to, takes no room."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", SHARING], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        tree = forest.plant(process.pid)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        forest.grow()
        assert len(tree.gauges) == 5
        counted = tree.memory_kib()
        assert counted > 5 * 32 * 1024
        assert 32 * 1024 < tree.at_most_kib(counted) < 2 * 32 * 1024
        os.killpg(process.pid, signal.SIGKILL)
    forest.fell(tree)
