"""A platform moves with `export` and `import`: into a folder that `up` begins with, and into a platform that is up.

Every step goes through the launcher, the real Pulumi engine and real processes; each builds on the ones before.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.e2e.machine import Machine, free_ports

pytestmark = [pytest.mark.full, pytest.mark.steps]

PASSPHRASE = "a passphrase of some length"
SOURCE = """
import os

def handler(context):
    return {"token": os.environ["TOKEN"], "asked": context.query.get("asked")}
"""


class Moving:
    """Two platforms of one user, and what the steps hand on to each other."""

    def __init__(self, home: Path) -> None:
        self.file = home / "cloudserve.tar"
        self.machines = {name: Machine(home, f"{name}{psutil.Process().pid}") for name in ("old", "new", "other")}
        self.ports: dict[str, int] = {}
        for name, machine in self.machines.items():
            port, self.ports[name] = free_ports(2)
            machine.configure(target="local", port=port, runPort=self.ports[name])
        self.key = ""

    def call(self, name: str) -> tuple[int, str]:
        """Calls the function on one of the platforms, with the key of the old one."""
        url = f"http://127.0.0.1:{self.ports[name]}/run/admin/hello?asked={name}"
        answer = httpx2.get(url, headers={"api-key": self.key}, trust_env=False, timeout=60)
        return answer.status_code, answer.text


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moving]:
    """A machine on which nothing was ever run. Whatever is left at the end is ended and removed."""
    moving = Moving(tmp_path_factory.mktemp("home"))
    yield moving
    for machine in moving.machines.values():
        for process in machine.processes():
            process.kill()
        machine.stack_file.unlink(missing_ok=True)


def test_a_platform_that_runs_is_exported(moving: Moving, tmp_path: Path) -> None:
    """With a function that needs its secret; it goes on answering."""
    machine = moving.machines["old"]
    machine.cloudserve("up", machine.stack)
    moving.key = machine.cloudserve("key", "show").stdout.strip()
    (tmp_path / "hello.py").write_text(SOURCE)
    machine.cloudserve("deploy", tmp_path / "hello.py")
    machine.cloudserve("secrets", "set", "hello", "TOKEN", stdin="s3cret")
    assert moving.call("old") == (200, '{"token":"s3cret","asked":"old"}')
    told = machine.json("export", moving.file, "--stack", machine.stack, "--with-history", stdin=PASSPHRASE)
    assert (told["owners"], told["functions"], told["secrets"]) == (1, 1, 1)
    assert moving.call("old")[0] == 200


def test_up_begins_with_what_was_imported(moving: Moving) -> None:
    """The key, the function and its secret are those of the old platform; so is the administrator."""
    machine = moving.machines["new"]
    machine.cloudserve("import", moving.file, "--stack", machine.stack, stdin=PASSPHRASE)
    machine.cloudserve("up", machine.stack)
    assert moving.call("new") == (200, '{"token":"s3cret","asked":"new"}')


def test_into_a_platform_that_is_up_owners_are_merged(moving: Moving) -> None:
    """It says who is in the way, and what to do; then the function answers, without a restart."""
    machine = moving.machines["other"]
    machine.cloudserve("up", machine.stack)
    options = ("import", moving.file, "--stack", machine.stack)
    refused = machine.cloudserve(*options, "--json", stdin=PASSPHRASE, code=1)
    (conflict, *_) = json.loads(refused.stderr)["error"]["conflicts"]
    assert "the user admin: the name admin belongs to admin here" in conflict
    machine.cloudserve(*options, "--merge-owner", "admin", stdin=PASSPHRASE)
    assert moving.call("other") == (200, '{"token":"s3cret","asked":"other"}')
