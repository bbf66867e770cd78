"""The stack `local` under the real Pulumi engine: what `up` and `down` do to a machine, and what they survive."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.e2e.load import calling
from tests.e2e.machine import CHECKOUT, Machine, free_ports

pytestmark = pytest.mark.full

SECONDS = 60.0


class Local:
    """A stack on a machine of its own."""

    def __init__(self, home: Path, stack: str) -> None:
        self.machine = Machine(home, stack)
        self.stack = stack
        self.port, self.run_port = free_ports(2)
        self.configure()

    def configure(self, **settings: object) -> None:
        self.machine.configure(target="local", port=self.port, runPort=self.run_port, **settings)

    def up(self, *, code: int = 0) -> str:
        """Returns what `up` said."""
        done = self.machine.cloudserve("up", self.stack, code=code)
        return done.stdout + done.stderr

    def down(self) -> str:
        done = self.machine.cloudserve("down", self.stack, "--yes")
        return done.stdout + done.stderr

    def output(self, name: str) -> str:
        return self.machine.cloudserve("output", name, "--stack", self.stack).stdout.strip()

    def status(self) -> dict[str, Any]:
        return json.loads(self.machine.cloudserve("status", self.stack, "--json", code=None).stdout)

    def health(self) -> dict[str, Any]:
        return httpx2.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False).json()

    @property
    def data(self) -> Path:
        return self.machine.data

    def record(self) -> dict[str, Any]:
        return json.loads((self.data / "run" / "supervisor.json").read_text())

    def platforms(self) -> list[psutil.Process]:
        """Returns the platform processes of this home folder."""
        return [process for process in self.machine.processes() if "cloudserve.cli.platform" in process.cmdline()]

    def locks(self) -> Path:
        return self.data.parent / "pulumi" / ".pulumi" / "locks" / "organization" / "cloudserve" / self.stack

    def end(self) -> None:
        for process in self.machine.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.machine.stack_file.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    made = Local(tmp_path_factory.mktemp("engine"), f"engine{os.getpid()}")
    yield made
    made.end()


@pytest.fixture
def local(shared: Local) -> Local:
    """A stack that is up; the tests share it, because each leaves it as it should be."""
    shared.configure()
    if shared.status()["state"] != "healthy":
        shared.up()
    return shared


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Local]:
    """A stack that is not up yet, on a machine of its own."""
    made = Local(tmp_path, f"fresh{os.getpid()}")
    yield made
    made.end()


def eventually(check: Callable[[], Any]) -> Any:
    until = time.monotonic() + SECONDS
    while not (value := check()):
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)
    return value


def test_a_second_up_changes_nothing(local: Local) -> None:
    """Not a resource, not a process."""
    before = local.record()
    assert "8 unchanged" in local.up()
    assert local.record() == before


def test_up_revives_a_dead_platform_by_itself(local: Local) -> None:
    """Killed with all its processes, it is found and started by `up` alone."""
    for process in local.machine.processes():
        process.kill()
    eventually(lambda: not local.machine.processes())
    assert local.status()["state"] == "stopped"
    assert "~running" in local.up()
    assert local.status()["state"] == "healthy"
    assert len(local.platforms()) == 1


def test_a_changed_setting_is_taken_up_without_a_failed_call(local: Local) -> None:
    """Callers see the old process or the new one, and nothing in between."""
    before = local.health()["instance"]
    local.configure(logLevel="warning")
    with calling(f"http://127.0.0.1:{local.run_port}/healthz", "none") as answers:
        local.up()
    assert answers.failures == []
    assert local.health()["instance"] != before
    assert len(answers.counts) == 2


def test_up_adopts_what_a_killed_up_left(fresh: Local) -> None:
    """Pulumi killed while the platform starts: the next `up` takes that one over, and clears the lock with a word."""
    first = subprocess.Popen(
        [str(CHECKOUT / "cloudserve"), "up", fresh.stack],
        env=fresh.machine.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    supervisor = eventually(lambda: (fresh.data / "run" / "supervisor.json").exists() and fresh.record()["pid"])
    for process in fresh.machine.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == "pulumi":
                process.kill()
    assert first.wait(SECONDS) == 1
    eventually(lambda: {p.name() for p in fresh.machine.processes()}.isdisjoint({"pulumi", "pulumi-resource"}))
    assert list(fresh.locks().glob("*.json"))
    said = fresh.up()
    assert "Removed the lock of an update that was cut off" in said
    assert fresh.record()["pid"] == supervisor
    assert len(fresh.platforms()) == 1
    assert fresh.status()["state"] == "healthy"


def test_a_live_owner_keeps_its_lock(local: Local) -> None:
    """Only a dead owner's lock is cleared: two updates at once are refused."""
    lock = local.locks() / "11111111-1111-1111-1111-111111111111.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    owner = {"pid": os.getpid(), "username": "ann", "hostname": socket.gethostname(), "timestamp": now}
    lock.write_text(json.dumps(owner))
    assert "the stack is currently locked" in local.up(code=1)
    assert lock.exists()
    lock.unlink()


def test_a_taken_port_names_its_holder_and_the_setting(fresh: Local) -> None:
    """The message has the process that listens there, and what to change."""
    with socket.create_server(("127.0.0.1", fresh.run_port)):
        said = fresh.up(code=1)
    assert f"Port {fresh.run_port} is taken by process {os.getpid()}" in said
    assert f"set cloudserve:runPort in infra/stacks/Pulumi.{fresh.stack}.yaml" in said.replace("\n", " ")
    assert "Traceback" not in said
    fresh.up()
    assert fresh.status()["state"] == "healthy"


def test_a_host_that_is_too_weak_fails_with_what_it_lacks(fresh: Local) -> None:
    """At once, with the commands and the flag; the same host serves where less is asked for."""
    fresh.configure(minimumTier="A")
    # Root without its capabilities, as in a container without privileges; an ordinary user has no tier A anyway.
    weakened = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = fresh.machine.run([*weakened, str(CHECKOUT / "cloudserve"), "up", fresh.stack], code=1)
    said = " ".join((done.stdout + done.stderr).split())
    assert "This host is too weak for other people's code" in said
    assert "asks for tier A" in said
    assert "- mount-namespace, pid-namespace" in said
    assert "Remedy: " in said
    assert "unsafe, development only: unsafe_without_walls (cloudserve:unsafeWithoutWalls)" in said
    assert fresh.platforms() == []
    fresh.configure(minimumTier="C")
    assert "Walls " in fresh.up()
    walls = fresh.status()["walls"]
    assert "seccomp" in [layer["name"] for layer in walls["layersOn"]]


def test_an_unknown_setting_is_refused_by_name(local: Local) -> None:
    """Before anything is changed, and without a traceback."""
    local.configure(keepdata=False)
    said = local.up(code=1)
    lines = local.machine.stack_file.read_text().splitlines()
    local.machine.stack_file.write_text("\n".join(line for line in lines if "keepdata" not in line) + "\n")
    assert "There is no setting cloudserve:keepdata (did you mean cloudserve:keepData?)" in said
    assert "Traceback" not in said


def test_kept_data_is_taken_up_by_the_next_up(local: Local) -> None:
    """The same administrator, with the same password and key, as before `down`."""
    before = {name: local.output(name) for name in ("adminEmail", "adminPassword", "adminApiKey")}
    assert f"Its data stay in {local.data}" in local.down()
    assert local.machine.processes() == []
    local.up()
    assert {name: local.output(name) for name in before} == before
    answer = httpx2.get(
        f"http://127.0.0.1:{local.port}/api/auth/me",
        headers={"Authorization": f"Bearer {before['adminApiKey']}"},
        trust_env=False,
    )
    assert answer.json()["user"]["email"] == before["adminEmail"]


def test_data_that_is_not_kept_leaves_nothing(fresh: Local) -> None:
    """Neither a folder nor a process."""
    fresh.configure(keepData=False)
    fresh.up()
    assert fresh.data.exists()
    assert "are deleted with it" in fresh.down()
    assert not fresh.data.exists()
    assert fresh.machine.processes() == []


def test_no_secret_is_in_the_state_in_plain_text(local: Local) -> None:
    """Neither in the exported state, nor in any file of the backend."""
    secrets = [local.output("adminPassword"), local.output("adminApiKey")]
    secrets += [path.read_text().strip() for path in (local.data / "credentials").glob("*.key")]
    assert len(secrets) == 4
    state = local.machine.shell("pulumi stack export").stdout
    assert '"ciphertext"' in state
    files = [path for path in (local.data.parent / "pulumi").rglob("*") if path.is_file()]
    for text in [state, *(path.read_text(errors="replace") for path in files)]:
        assert not [secret for secret in secrets if secret in text]


def test_secrets_are_for_their_owner_alone(local: Local) -> None:
    """The passphrase, the credentials and the settings are files of mode 0600."""
    passphrase = local.machine.home / ".config" / "cloudserve" / "passphrase"
    for file in [passphrase, local.data / "run" / "settings.json", *(local.data / "credentials").iterdir()]:
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_plain_pulumi_works_after_env(local: Local) -> None:
    """`eval "$(./cloudserve env)"` is all that it needs."""
    shown = local.machine.shell("pulumi preview --non-interactive && pulumi stack output url").stdout
    assert "8 unchanged" in shown
    assert shown.splitlines()[-1] == f"http://localhost:{local.port}"


def test_down_after_a_failed_up_takes_down_what_it_made(fresh: Local) -> None:
    """An `up` that failed half-way has no outputs, but resources."""
    with socket.create_server(("127.0.0.1", fresh.port)):
        fresh.up(code=1)
    fresh.down()
    assert "nothing of the stack" in fresh.down()


def test_the_checkout_stays_clean(local: Local) -> None:
    """What the stack leaves in the checkout is ignored by git."""
    done = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all", "infra", "Pulumi.yaml"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Pulumi." not in done.stdout


def test_a_stopped_platform_is_said_to_be_stopped(local: Local) -> None:
    """SIGTERM to the supervisor ends everything, and `up` brings it back."""
    psutil.Process(local.record()["pid"]).send_signal(signal.SIGTERM)
    eventually(lambda: not local.machine.processes())
    assert local.status()["state"] == "stopped"
    local.up()
    assert local.status()["state"] == "healthy"
