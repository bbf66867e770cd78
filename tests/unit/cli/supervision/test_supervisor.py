"""The supervisor, with real processes: `standin.py` takes the platform's place."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from cloudserve.cli.supervision.listeners import addresses

STANDIN = Path(__file__).with_name("standin.py")
SECONDS = 30.0


def eventually(check: Callable[[], Any]) -> Any:
    """Returns the first true value of `check`, which may fail meanwhile."""
    until = time.monotonic() + SECONDS
    while True:
        with contextlib.suppress(httpx2.TransportError, FileNotFoundError, KeyError):
            if value := check():
                return value
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Returns ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for made in sockets:
            made.bind(("127.0.0.1", 0))
        return [made.getsockname()[1] for made in sockets]


class Platform:
    """A supervised stand-in in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.run_port = free_ports(2)
        self.settings = folder / "settings.json"
        self.configure("one")

    def configure(self, instance: str, **more: Any) -> None:
        ports = {"port": self.port, "run_port": self.run_port}
        content = {"data_dir": str(self.folder), "instance": instance, **ports, **more}
        self.settings.write_text(json.dumps(content))

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, STANDIN, self.settings], start_new_session=True)

    def answer(self, path: str = "/", port: int | None = None, host: str = "127.0.0.1") -> dict[str, Any]:
        return httpx2.get(f"http://{host}:{port or self.port}{path}", timeout=SECONDS).json()

    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "run" / "supervisor.json").read_text())

    def log(self) -> str:
        return (self.folder / "logs" / "platform.log").read_text()

    def serves(self, instance: str = "one") -> dict[str, Any]:
        return eventually(lambda: self.record().get("instance") == instance and self.answer())

    def processes(self) -> list[psutil.Process]:
        ours = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(STANDIN) in process.cmdline() and str(self.folder) in " ".join(process.cmdline()):
                    ours.append(process)
        return ours

    def end(self) -> None:
        # By its own handle: in the moment after the fork it is not among the processes with its command line.
        self.process.kill()
        self.process.wait()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    made = Platform(tmp_path)
    made.start()
    yield made
    made.end()


@contextlib.contextmanager
def constant_calls(platform: Platform, *, kept_alive: bool) -> Iterator[list[str]]:
    """Calls without a pause from two threads, over one connection each or a new one each time; yields what failed."""
    failures: list[str] = []
    answered = threading.Semaphore(0)
    over = threading.Event()

    def call() -> None:
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(httpx2.Client()) if kept_alive else httpx2
            while not over.is_set():
                try:
                    client.get(f"http://127.0.0.1:{platform.run_port}/", timeout=SECONDS).raise_for_status()
                except httpx2.HTTPError as error:
                    failures.append(repr(error))
                answered.release()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        answered.acquire()
    yield failures
    for _ in range(20):
        answered.acquire()
    over.set()
    for thread in threads:
        thread.join()


def test_serves_both_origins_and_says_so(platform: Platform) -> None:
    """Both ports answer from one process, and the record names it."""
    first = platform.serves()
    assert platform.answer(port=platform.run_port) == first
    assert platform.record()["child"] == first["pid"]
    assert platform.record()["pid"] == platform.process.pid
    assert platform.record()["state"] == "ready"


def test_listens_on_both_loopback_addresses(platform: Platform) -> None:
    """A browser that takes `localhost` for ::1 finds the platform too."""
    if not any(address.host == "::1" for address in addresses("127.0.0.1", platform.port, platform.run_port)):
        pytest.skip("this host has no IPv6")
    first = platform.serves()
    assert platform.answer(host="[::1]") == first


def test_starts_a_crashed_process_again_and_refuses_nobody(platform: Platform) -> None:
    """Who calls while the process is replaced waits, and is answered by the next one."""
    first = platform.serves()
    os.kill(first["pid"], signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(first["pid"]))
    assert platform.answer()["pid"] != first["pid"]
    eventually(lambda: platform.record()["restarts"] == 1)
    assert "was killed by SIGKILL" in platform.log()


@pytest.mark.parametrize("kept_alive", [True, False], ids=["kept-alive", "new-connections"])
def test_hands_over_without_a_failed_call(platform: Platform, kept_alive: bool) -> None:
    """New settings are taken up under constant calls, and every call is answered."""
    platform.serves()
    with constant_calls(platform, kept_alive=kept_alive) as failures:
        for instance in ("two", "three"):
            platform.configure(instance)
            platform.process.send_signal(signal.SIGHUP)
            platform.serves(instance)
    assert failures == []
    assert platform.answer()["instance"] == "three"


def test_lets_the_old_process_finish_its_calls(platform: Platform) -> None:
    """A call that began before the hand-over gets the old process's answer."""
    first = platform.serves()
    answers: list[dict[str, Any]] = []
    caller = threading.Thread(target=lambda: answers.append(platform.answer("/slow")))
    caller.start()
    eventually(lambda: any(c.status == "ESTABLISHED" for c in psutil.Process(first["pid"]).net_connections()))
    platform.configure("two")
    platform.process.send_signal(signal.SIGHUP)
    caller.join()
    assert answers == [first]
    platform.serves("two")


def test_keeps_the_old_process_when_the_new_settings_fail(platform: Platform) -> None:
    """Settings the platform can't start with are refused with its own words, and nothing else changes."""
    first = platform.serves()
    platform.configure("broken")
    platform.process.send_signal(signal.SIGHUP)
    eventually(lambda: platform.record().get("failed") == "broken")
    assert "the stand-in was told to fail" in platform.record()["error"]
    assert platform.answer() == first
    os.kill(first["pid"], signal.SIGKILL)
    eventually(lambda: platform.answer()["pid"] != first["pid"])
    assert platform.answer()["instance"] == "one"


def test_tells_why_a_process_will_not_serve(tmp_path: Path) -> None:
    """In that process's own words, and nothing else of the log."""
    platform = Platform(tmp_path)
    platform.configure("weak")
    platform.start()
    try:
        eventually(lambda: platform.record().get("failed") == "weak")
        assert platform.record()["error"] == "This host is too weak.\nRemedy: a stronger one."
    finally:
        platform.end()


def test_moves_to_another_port(platform: Platform) -> None:
    """A changed port is listened on before the old one is left."""
    platform.serves()
    old, (platform.port,) = platform.port, free_ports(1)
    platform.configure("two")
    platform.process.send_signal(signal.SIGHUP)
    platform.serves("two")
    with pytest.raises(httpx2.ConnectError):
        platform.answer(port=old)


def test_tries_again_until_the_start_succeeds(platform: Platform, tmp_path: Path) -> None:
    """A platform that can't start says why, and is started once its settings are right."""
    platform.end()
    platform.configure("broken")
    platform.start()
    eventually(lambda: platform.record()["state"] == "failed" and "told to fail" in platform.record()["error"])
    platform.configure("mended")
    platform.process.send_signal(signal.SIGHUP)
    platform.serves("mended")


def test_ends_with_all_it_started(platform: Platform) -> None:
    """SIGTERM ends every process, and leaves neither a record nor copies of the settings."""
    platform.serves()
    platform.process.terminate()
    assert platform.process.wait(SECONDS) == 0
    assert platform.processes() == []
    assert [path.name for path in (platform.folder / "run").iterdir()] == ["lock"]


def test_leaves_no_orphan_when_it_is_killed(platform: Platform) -> None:
    """The platform process ends by itself when nobody is left to watch it."""
    platform.serves()
    platform.process.kill()
    platform.process.wait()
    eventually(lambda: platform.processes() == [])


def test_takes_over_what_a_killed_one_left(platform: Platform) -> None:
    """A record whose writer is gone is no obstacle."""
    platform.serves()
    platform.process.kill()
    platform.process.wait()
    eventually(lambda: platform.processes() == [])
    platform.start()
    eventually(lambda: platform.record()["pid"] == platform.process.pid)
    platform.serves()


def test_runs_once_on_a_folder(platform: Platform) -> None:
    """A second supervisor of the same data gives up at once and changes nothing."""
    platform.serves()
    second = subprocess.run([sys.executable, STANDIN, platform.settings], capture_output=True, text=True, check=False)
    assert second.returncode == 3
    assert "another platform runs" in second.stderr
    assert platform.answer()["instance"] == "one"


def test_says_which_port_is_taken(tmp_path: Path) -> None:
    """It ends with the port's number and the reason."""
    made = Platform(tmp_path)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", made.port))
        holder.listen()
        done = subprocess.run([sys.executable, STANDIN, made.settings], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {made.port} of 127.0.0.1 is taken" in done.stderr
