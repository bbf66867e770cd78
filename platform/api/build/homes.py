"""The homes of owners' installers: caches, which last from build to build, and must not last for ever."""

import asyncio
import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from cloudserve.api.build.jailer.usage import measure
from cloudserve.core.config import MEBIBYTE
from cloudserve.core.ids import new_id

MAX_BYTES: Final = 1024 * MEBIBYTE
"""What one home may hold after a build; far below what a run may write (`jail.Bounds`)."""
UNUSED_SECONDS: Final = 30 * 86400.0
MEASURE_SECONDS: Final = 600.0
"""Counting a large cache takes some tenths of a second, so it is not done after every build."""


class Homes:
    """Keeps the homes in `folder` small: one that has grown too large goes when no build uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._users: Counter[str] = Counter()
        self._measured: dict[str, float] = {}

    async def sweep(self) -> None:
        """Deletes the homes that nobody has used for long."""
        await asyncio.to_thread(self._sweep, time.time() - UNUSED_SECONDS)

    @asynccontextmanager
    async def in_use(self, owner: str) -> AsyncIterator[None]:
        """Spares an owner's home meanwhile, and has a look at it afterwards."""
        self._users[owner] += 1
        try:
            yield
        finally:
            self._users[owner] -= 1
            if not self._users[owner]:
                del self._users[owner]
                await asyncio.to_thread(self._trim, owner)

    def _trim(self, owner: str) -> None:
        home = self.folder / owner
        with contextlib.suppress(FileNotFoundError):  # it had no packages to install
            os.utime(home)
            if time.monotonic() - self._measured.get(owner, -MEASURE_SECONDS) < MEASURE_SECONDS:
                return
            self._measured[owner] = time.monotonic()
            if measure([str(home)])[0] > MAX_BYTES:
                _delete(home)

    def _sweep(self, before: float) -> None:
        if not self.folder.is_dir():
            return
        for home in self.folder.iterdir():
            if home.stat().st_mtime < before:
                _delete(home)


def _delete(home: Path) -> None:
    """Deletes a home in a moment for whoever looks, however long its files take."""
    doomed = home.with_name(f".{home.name}.{new_id()}")
    with contextlib.suppress(FileNotFoundError):
        home.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
