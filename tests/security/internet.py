"""The tests' own internet: a process in a network namespace of its own, and the wires from it to the hosts."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.security.hosts import PUBLIC

_numbers = itertools.count(2)


class Internet:
    """A running internet."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def wire(self, pid: int) -> str:
        """Connects the network that a process is in, and returns the address that it has there: a public one, too."""
        number = next(_numbers)
        address, here, there = f"45.79.1.{number}", f"net{number}", "wan0"
        _run("ip", "link", "add", here, "netns", str(self._pid), "type", "veth", "peer", there, "netns", str(pid))
        for where, device, own, other in ((self._pid, here, PUBLIC, address), (pid, there, address, PUBLIC)):
            inside = ("nsenter", f"--target={where}", "--net", "ip")
            _run(*inside, "address", "add", own, "peer", other, "dev", device)
            _run(*inside, "link", "set", device, "up")
        return address


@contextmanager
def running() -> Iterator[Internet]:
    """Runs it."""
    program = Path(__file__).parent / "inside" / "internet.py"
    script = f'ip link set lo up && ip address add {PUBLIC} dev lo && exec "$@"'
    command = ["unshare", "--net", "--", "sh", "-c", script, "sh", sys.executable, str(program), PUBLIC]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield Internet(process.pid)
        assert process.stdin is not None
        process.stdin.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
