"""A machine as a new user finds it: an empty home folder, free ports, and the commands typed in a terminal."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from cloudserve.cli import pulumi_cli

CHECKOUT = Path(__file__).parents[2]
FUNCTIONS = Path(__file__).parent / "functions"
MINUTES = 60


class CommandError(AssertionError):
    """A command ended otherwise than it should."""

    def __init__(self, done: "subprocess.CompletedProcess[str]") -> None:
        super().__init__(
            f"{done.args} ended with {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
        )


class Machine:
    """Runs commands with a home folder of their own. Only the caches of this user are shared: they hold no state."""

    def __init__(self, home: Path, stack: str) -> None:
        self.home = home
        self.stack = stack
        self.stack_file = CHECKOUT / "infra" / "stacks" / f"Pulumi.{stack}.yaml"
        # The engine is this user's: to build one takes minutes. `up` gets its own where there is none.
        engine = pulumi_cli.obtain(lambda text: print(text, file=sys.stderr))
        caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CLOUDSERVE_", "PULUMI_", "PYTEST_"))
        }
        self.environment = {
            **kept,
            "PATH": f"{engine.folder}{os.pathsep}{kept['PATH']}",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_HOME": str(home / ".local" / "share"),
            "XDG_STATE_HOME": str(home / ".local" / "state"),
            "XDG_CACHE_HOME": caches,
        }

    @property
    def data(self) -> Path:
        """Where the platform of the stack keeps its data."""
        return self.home / ".local" / "share" / "cloudserve" / self.stack

    def configure(self, **settings: object) -> None:
        """Sets `cloudserve:` settings of the stack in its file, as a user's editor would."""
        lines = self.stack_file.read_text().splitlines() if self.stack_file.exists() else ["config:"]
        for name, value in settings.items():
            lines = [line for line in lines if not line.startswith(f"  cloudserve:{name}:")]
            lines.insert(lines.index("config:") + 1, f"  cloudserve:{name}: {json.dumps(value)}")
        self.stack_file.write_text("\n".join(lines) + "\n")

    def cloudserve(
        self, *arguments: str | Path, stdin: str = "", env: Mapping[str, str] | None = None, code: int | None = 0
    ) -> "subprocess.CompletedProcess[str]":
        """Runs `./cloudserve …` from the home folder. Raises `CommandError` unless it ends with `code`."""
        return self.run([str(CHECKOUT / "cloudserve"), *map(str, arguments)], stdin=stdin, env=env, code=code)

    @contextlib.contextmanager
    def started(self, *arguments: str | Path, env: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
        """Yields `./cloudserve …` while it runs, and ends it if it still does."""
        command = [str(CHECKOUT / "cloudserve"), *map(str, arguments)]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env={**self.environment, **env}, cwd=self.home, stdout=pipe, stderr=pipe, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def json(self, *arguments: str | Path, stdin: str = "", env: Mapping[str, str] | None = None) -> Any:
        """Runs `./cloudserve … --json` and returns what it says."""
        return json.loads(self.cloudserve(*arguments, "--json", stdin=stdin, env=env).stdout)

    def shell(self, script: str, *, code: int | None = 0) -> "subprocess.CompletedProcess[str]":
        """Runs lines of shell in the checkout, with the environment that `./cloudserve env` prints."""
        ready = f'set -eu; cd "{CHECKOUT}"; eval "$(./cloudserve env {self.stack})"; {script}'
        return self.run(["bash", "-c", ready], code=code)

    def run(
        self, command: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None, code: int | None = 0
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command. Raises `CommandError` unless it ends with `code`; None takes any."""
        done = subprocess.run(
            command,
            input=stdin,
            env={**self.environment, **(env or {})},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=15 * MINUTES,
            check=False,
        )
        if code is not None and done.returncode != code:
            raise CommandError(done)
        return done

    def processes(self) -> list[psutil.Process]:
        """Returns every process that was started with this home folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("HOME") == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


def free_ports(count: int) -> list[int]:
    """Returns ports of this machine that nobody listens on now.

    They lie below those that the kernel gives to whoever asks for any: while a platform is down, nobody gets its ports.
    """
    kernel = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(kernel.read_text().split()[0]) if kernel.exists() else 32768
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, lowest)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found
