"""Programs that tests need and no package brings: built once, and kept in the user's cache folder by version."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


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
