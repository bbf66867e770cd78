"""Programs that tests need and no package brings: built once, and kept in the user's cache folder by version."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def built(name: str, version: str, build: Callable[[Path], None]) -> Path:
    """Returns the folder of one version of a program, which `build` fills if it is not there yet.

    One process builds, the others wait for it. A build that fails leaves nothing, and is tried again next time.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudserve-tests" / name
    folder = root / version
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            draft = root / f".{version}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            build(draft)
            draft.rename(folder)
    return folder


def require(program: str, reason: str) -> None:
    """Skips the test, and says why, where a program is not installed; in CI (`CI=true`) it fails."""
    if shutil.which(program) is None:
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
