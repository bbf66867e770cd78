"""Whether the control plane may take traffic: it can do nothing without the store, and little without the objects.

An object store that is away is told and decides nothing: accounts, keys, logs and settings are served without it, and
a deploy says by itself what it lacks.
"""

import asyncio

from cloudserve.core.objects.abc import Objects
from cloudserve.core.readiness import OK, Readiness, ask
from cloudserve.core.store.abc import Store


class ApiReadiness:
    """Asks the store and the object store. `leaving`, once set, means that this process takes nothing new."""

    def __init__(self, store: Store, objects: Objects) -> None:
        self.leaving = False
        self._store = store
        self._objects = objects

    async def check(self) -> Readiness:
        """Asks both at once."""
        store, objects = await asyncio.gather(ask(self._store.ping()), ask(self._objects.ping()))
        checks = {"store": store, "objects": objects}
        if self.leaving:
            checks["process"] = "leaving"
        return Readiness(store == OK and not self.leaving, checks)
