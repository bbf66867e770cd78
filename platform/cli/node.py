"""The Node.js of this machine, which runs and bundles JavaScript functions."""

import shutil
import subprocess
from typing import Final

from cloudserve.cli.output import CommandError

MINIMUM: Final = 20
REMEDY: Final = (
    f"Install Node.js {MINIMUM} or newer, from nodejs.org or with your system's packages, so that `node` is on PATH"
)


def node_version() -> tuple[str, str] | None:
    """Returns the path and version of `node`; None when there is none that runs."""
    program = shutil.which("node")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - found on PATH
            [program, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return program, done.stdout.strip().removeprefix("v")


def is_enough(version: str) -> bool:
    """Tells whether a version is new enough."""
    major = version.partition(".")[0]
    return major.isdigit() and int(major) >= MINIMUM


def require_node() -> None:
    """Raises `CommandError` unless there is a Node.js that is new enough."""
    found = node_version()
    if found is None:
        raise CommandError(f"There is no Node.js here. Remedy: {REMEDY}.", reason="no-node")
    if not is_enough(found[1]):
        raise CommandError(f"{found[0]} is Node.js {found[1]}. Remedy: {REMEDY}.", reason="old-node")
