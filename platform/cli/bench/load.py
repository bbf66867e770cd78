"""Load from `wrk`, which keeps a server busy from one thread, with every answer checked.

The check (`checked.lua`) runs inside wrk for each answer and costs it well under a microsecond, the same for every
contender; measured with and without, plain uvicorn's throughput is the same.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloudserve.cli.bench.processes import environment
from cloudserve.cli.output import CommandError

REMEDY: Final = "Install it with your system's packages (Debian, Ubuntu: `sudo apt install wrk`)"

_SCRIPT: Final = Path(__file__).parent / "checked.lua"
_KEY: Final = "CLOUDSERVE_BENCH_KEY"  # checked.lua takes the key from it
_PATIENCE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers over HTTP: where, with which key, with what, and the process at the top of its tree."""

    name: str
    url: str
    body: str
    pid: int
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Load:
    """What one round of load came to; latencies in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def require_wrk() -> None:
    """Raises `CommandError` where there is no wrk."""
    if shutil.which("wrk") is None:
        raise CommandError(f"The load comes from `wrk`, which is not installed. Remedy: {REMEDY}.", reason="no-wrk")


def put(target: Target, *, connections: int, seconds: int) -> Load:
    """Calls a target on so many connections, and checks each answer. Raises `CommandError` for a wrong one."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT), target.url, target.body]
    key = {_KEY: target.key} if target.key else {}  # not an argument, which every user of the machine could read
    try:
        done = subprocess.run(  # noqa: S603 - found on PATH
            command,
            env=environment() | key,
            capture_output=True,
            text=True,
            timeout=seconds + _PATIENCE_SECONDS,
            check=True,
        )
        said = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        raise CommandError(f"wrk did not measure {target.name}: {error}", reason="load-failed") from error
    if said["wrong"] or said["broken"] or not said["requests"]:
        raise CommandError(
            f"{target.name} gave {said['wrong']} wrong answers of {said['requests']} ({said['example']}), and "
            f"{said['broken']} requests got none. What answers wrongly is not measured.",
            reason="wrong-answer",
        )
    return Load(said["requests"], said["microseconds"] / 1e6, said["p50"] / 1000, said["p99"] / 1000)
