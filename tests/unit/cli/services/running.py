"""Services as processes, started as a user starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx2

PATIENCE_SECONDS = 60.0


def eventually(check: Callable[[], Any]) -> Any:
    """Returns the first true value of `check`, to which nobody may be listening yet."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if value := check():
                return value
        except httpx2.TransportError:
            pass
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


class Running:
    """`cloudserve serve ROLE` on free ports of loopback. Use it as a context: what is left at its end is killed."""

    def __init__(self, role: str, data: Path, log: Path, **settings: object) -> None:
        self.log = log
        chosen: dict[str, object] = {"data_dir": data, "port": 0, "run_port": 0, "metrics_port": 0, **settings}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDSERVE_", "OTEL_"))}
        self._environment = {
            **kept,
            **{f"CLOUDSERVE_{name.upper()}": str(value) for name, value in chosen.items()},
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self._role = role
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cloudserve.cli", "serve", self._role],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Returns what was logged of an event so far."""
        logged = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [one for line in logged if (one := json.loads(line))["event"] == event]

    def told(self, event: str, count: int = 1) -> list[Mapping[str, Any]]:
        """Returns an event's lines once there are that many."""

        def said() -> list[dict[str, Any]]:
            assert self.process.poll() is None or len(self.lines(event)) >= count, self.log.read_text()
            found = self.lines(event)
            return found if len(found) >= count else []

        found: list[Mapping[str, Any]] = eventually(said)
        return found

    def url(self, name: str) -> str:
        """Returns where the service takes connections of that name: platform, run or internal."""
        return f"http://{self.told('starting')[0][name]}"

    def get(self, name: str, path: str, **options: Any) -> httpx2.Response:
        """Asks the service."""
        return httpx2.get(self.url(name) + path, trust_env=False, timeout=PATIENCE_SECONDS, **options)

    def ready(self) -> Self:
        """Returns when it takes traffic."""
        eventually(lambda: self.get("internal", "/readyz").status_code == 200)
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal, and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)
