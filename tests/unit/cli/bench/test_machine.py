"""The machine that a run was made on."""

import subprocess
import sys
import time

from cloudserve.cli.bench import machine
from cloudserve.cli.bench.machine import Elsewhere, describe


def test_the_machine_is_described_whole() -> None:
    """Nothing that figures depend on is missing."""
    assert all(value is not None for value in describe().values())


def test_what_the_run_itself_uses_is_not_others() -> None:
    """Neither its own CPU time nor that of processes that it has waited for."""
    before = machine._own()
    subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
    assert machine._own() - before > 0.1


def test_what_others_use_is_told() -> None:
    """Here a process that the run has not waited for, and so does not know to be its own."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        elsewhere = Elsewhere()
        time.sleep(0.5)
        taken = elsewhere.percent()
        process.kill()
    assert taken > 5
