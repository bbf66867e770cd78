"""The build tools that are pinned by `package-lock.json` beside this file: esbuild.

They live in the user's cache, one folder for each content of the lock, and are installed at the first use. The native
program is called directly: starting it through Node would cost more than a build does.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from cloudserve.api.build.environment import environment

_HERE: Final = Path(__file__).parent
_FILES: Final = ("package.json", "package-lock.json")
_INSTALL_SECONDS: Final = 300


class ToolchainMissing(Exception):  # noqa: N818 - reads as what happened
    """The toolchain could not be installed; the message says why and what to do."""


def folder() -> Path:
    """Returns where the toolchain of this release belongs on this machine, whether or not it is there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(b"\0".join((_HERE / name).read_bytes() for name in _FILES)).hexdigest()
    return cache / "cloudserve" / "toolchain" / digest[:16]


def esbuild() -> Path:
    """Returns the path of esbuild, installed first when it is missing. Raises `ToolchainMissing`."""
    target = folder()
    found = _find(target)
    if found is not None:
        return found
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _find(target)
        return found if found is not None else _install(target)


def _find(target: Path) -> Path | None:
    return next(iter(sorted(target.glob("node_modules/@esbuild/*/bin/esbuild"))), None)


def _install(target: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ToolchainMissing("npm was not found. Install Node.js 20 or newer, which brings npm along.")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".install-") as draft_name:
        draft = Path(draft_name)
        content = draft / "toolchain"
        content.mkdir()
        for name in _FILES:
            shutil.copyfile(_HERE / name, content / name)
        # esbuild's program comes with the package for this platform, so no install script has to run.
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            result = subprocess.run(  # noqa: S603 - npm with fixed arguments
                command,
                cwd=content,
                env=environment("npm", draft / "home"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ToolchainMissing(
                f"npm did not install esbuild within {_INSTALL_SECONDS} seconds. Check the way to the npm registry."
            ) from None
        if result.returncode != 0:
            raise ToolchainMissing(
                f"npm could not install esbuild. Check the way to the npm registry. It said:\n{result.stderr.strip()}"
            )
        if _find(content) is None:
            raise ToolchainMissing("esbuild has no program for this operating system and processor.")
        # A folder that was left without the program (a cleaned cache) would be in the way.
        shutil.rmtree(target, ignore_errors=True)
        content.rename(target)
    found = _find(target)
    if found is None:
        raise ToolchainMissing(f"esbuild is not in {target}. Delete that folder and try again.")
    return found
