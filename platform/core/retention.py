"""Deletes what nobody needs any more: expired sessions, old records of calls, objects that nothing refers to.

Every service may run it, several at once too: deleting twice does no harm.

An object goes when nothing refers to it (`Versions.referenced_objects`) and it is older than the grace time, which is
longer than any build takes. Two things keep it from a build that has just found it: `Objects.touch` makes it new again,
and its age is looked up once more right before it goes. A builder that touches a layer, adds its version and then finds
the layer still there (`stat`) is safe.
"""

import asyncio
import contextlib
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from cloudserve.core.models.base import utc_now
from cloudserve.core.objects.abc import Objects, ObjectsError
from cloudserve.core.store.abc import Store, StoreError

GRACE: Final = timedelta(days=1)
INTERVAL: Final = timedelta(hours=1)

log = structlog.get_logger("cloudserve.retention")


@dataclass(frozen=True, slots=True)
class Swept:
    """How much a sweep has deleted."""

    sessions: int
    usages: int
    logs: int
    objects: int


class Retention:
    """Sweeps one platform. Records of calls are kept for `keep`, objects for `grace` after their last use."""

    def __init__(
        self,
        store: Store,
        objects: Objects,
        *,
        keep: timedelta,
        grace: timedelta = GRACE,
        every: timedelta = INTERVAL,
    ) -> None:
        self._store = store
        self._objects = objects
        self._keep = keep
        self._grace = grace
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def sweep(self, now: datetime | None = None) -> Swept:
        """Deletes what is too old at `now`. Raises `StoreError` or `ObjectsError`; the next sweep does the rest."""
        now = now or utc_now()
        return Swept(
            sessions=await self._store.sessions.sweep(now),
            usages=await self._store.usages.sweep(now - self._keep),
            logs=await self._store.logs.sweep(now - self._keep),
            objects=await self._sweep_objects(now - self._grace),
        )

    async def start(self) -> None:
        """Begins to sweep, now and from time to time. A sweep that fails is logged, and tried again the next time."""
        self._task = asyncio.create_task(self._run(), name="retention")

    async def close(self) -> None:
        """Stops; what a sweep has not come to is left to the next one."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                swept = await self.sweep()
            except (StoreError, ObjectsError, OSError):
                log.warning("a sweep has failed and will be tried again", exc_info=True)
            else:
                log.info("swept", **asdict(swept))
            await asyncio.sleep(self._every.total_seconds())

    async def _sweep_objects(self, before: datetime) -> int:
        # The list comes first: what is referred to after it was read is referred to by a version of a young object.
        old = [info.key async for info in self._objects.list() if info.modified < before]
        referenced = await self._store.versions.referenced_objects() if old else set()
        swept = 0
        for key in old:
            if key in referenced:
                continue
            info = await self._objects.stat(key)
            if info is not None and info.modified < before:
                swept += await self._objects.delete(key)
        return swept
