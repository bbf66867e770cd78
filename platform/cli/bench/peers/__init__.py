"""What the contenders and the functions bring from package registries, locked with hashes beside this file.

Each is installed once into the user's cache folder, by the machine's own pip and npm with whatever registry they are
set to, into a folder named by the hash of its lock. No script of a package is run.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cloudserve.cli import folders
from cloudserve.cli.output import CommandError

_LOCKS: Final = Path(__file__).parent
_COMPLETE: Final = ".complete"
_TIMEOUT_SECONDS: Final = 600
_NPM: Final = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error")


def python() -> Path:
    """Returns the virtual environment with Functions Framework for Python."""
    return _kept("python", "requirements.txt", _make_environment)


def node() -> Path:
    """Returns the `node_modules` with Functions Framework for Node and workerd."""
    return _kept("node", "package-lock.json", _install_node) / "node_modules"


def requests_layer() -> Path:
    """Returns a Python function's dependency layer that holds `requests`."""
    return _kept("requests", "requirements.txt", _install_layer)


def addon_layer() -> Path:
    """Returns a Node function's dependency layer that holds `bcrypt`, which is a native addon."""
    return _kept("addon", "package-lock.json", _install_node)


def _kept(name: str, lock: str, make: Callable[[Path, Path], None]) -> Path:
    """Returns the folder of what a lock names, made unless it is there; a second process waits for the first."""
    digest = hashlib.sha256((_LOCKS / name / lock).read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = folders.cache_home() / "bench"
    home.mkdir(parents=True, exist_ok=True)
    folder = home / f"{name}-{digest}"
    with (home / f"{name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / _COMPLETE).exists():
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run has left
            folder.mkdir()
            make(_LOCKS / name, folder)
            (folder / _COMPLETE).touch()
    return folder


def _make_environment(lock: Path, folder: Path) -> None:
    _run([sys.executable, "-m", "venv", str(folder)], folder)
    program = str(folder / "bin" / "python")
    _run([program, "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock / "requirements.txt")], folder)


def _install_layer(lock: Path, folder: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "--only-binary", ":all:"]
    _run([*install, "--no-compile", "--target", str(folder), "-r", str(lock / "requirements.txt")], folder)
    # As a build of the platform does: an archive has no times, which compiled files are checked against otherwise.
    compile_all = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(folder), str(folder)]
    _run([sys.executable, *compile_all], folder)


def _install_node(lock: Path, folder: Path) -> None:
    for manifest in ("package.json", "package-lock.json"):
        shutil.copy(lock / manifest, folder)
    _run(_NPM, folder)


def _run(command: Sequence[str], folder: Path) -> None:
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - the installers of this machine
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_installed(command, str(error)) from error
    if done.returncode != 0:
        raise _not_installed(command, done.stderr.strip())


def _not_installed(command: Sequence[str], why: str) -> CommandError:
    return CommandError(
        f"What the benchmark compares with could not be installed; `{command[0]}` says:\n{why}\n"
        "Remedy: check that pip and npm reach a registry from here, then run this again.",
        reason="no-peers",
    )
