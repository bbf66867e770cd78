"""Where a service's process is in its life, and what that says to whoever asks whether it may take traffic."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import structlog

from cloudserve.core.objects.abc import ObjectsUnavailable
from cloudserve.core.readiness import Readiness
from cloudserve.core.store.abc import Unavailable

FIRST_WAIT: Final = 0.25
MAX_WAIT: Final = 5.0

log = structlog.get_logger("cloudserve.services")


class Stage:
    """A process that starts, serves and leaves. It waits for its servers as long as they take, and says for which."""

    def __init__(self) -> None:
        self.now: Literal["starting", "serving", "leaving"] = "starting"
        self._waiting: dict[str, str] = {}
        self._check: Callable[[], Awaitable[Readiness]] | None = None

    def serving(self, check: Callable[[], Awaitable[Readiness]]) -> None:
        """Takes note that the service has started; from now on `check` tells how it is."""
        self.now = "serving"
        self._check = check

    async def readiness(self) -> Readiness:
        """Returns whether traffic may come to this process."""
        if self._check is None:
            return Readiness(False, {"process": self.now, **self._waiting})
        return await self._check()

    async def wait_for(self, name: str, opening: Callable[[], Awaitable[None]]) -> None:
        """Opens a backend, again and again while its server is away. Raises what another try would not change."""
        wait = FIRST_WAIT
        while True:
            try:
                await opening()
            except (Unavailable, ObjectsUnavailable) as error:
                if name not in self._waiting:
                    log.warning("waiting for a server", need=name, error=str(error))
                self._waiting[name] = type(error).__name__
                await asyncio.sleep(wait)
                wait = min(wait * 2, MAX_WAIT)
            else:
                if self._waiting.pop(name, None) is not None:
                    log.info("the server is there", need=name)
                return
