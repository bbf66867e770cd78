"""The gateway as one thing: composed here, started and closed by whoever runs it."""

import asyncio
import logging
from typing import Final
from urllib.parse import urlsplit

from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.config import MEBIBYTE, DataFolder, Settings
from cloudserve.core.models.function import Function
from cloudserve.core.objects.abc import Objects
from cloudserve.core.objects.cache import TreeCache
from cloudserve.core.ratelimit import TokenBuckets
from cloudserve.core.store.abc import Store
from cloudserve.gateway.admit import Admission
from cloudserve.gateway.app import functions_app
from cloudserve.gateway.changes import ChangeFeed
from cloudserve.gateway.headers import AnswerRules
from cloudserve.gateway.invoke import Invocations, Parts
from cloudserve.gateway.keys import Keys
from cloudserve.gateway.materialise import Materialiser
from cloudserve.gateway.meters import Meters
from cloudserve.gateway.metrics import GatewayMetrics
from cloudserve.gateway.readiness import GatewayReadiness, Lacking
from cloudserve.gateway.recorder import Recorder
from cloudserve.gateway.resolve import Resolver
from cloudserve.sandbox.abc import Sandbox

TIDY_SECONDS: Final = 600.0
CACHE_BYTES: Final = 4 * 1024 * MEBIBYTE

_log = logging.getLogger(__name__)


class GatewayService:
    """The data plane. `app` is the functions' origin, `compat` the application for `/run` on the platform's.

    Store, objects and sandbox are opened before `start` and closed after `close` by whoever made them. `lacking` tells
    why the sandbox has no worker to give; one in this process always has.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        objects: Objects,
        credentials: Credentials,
        sandbox: Sandbox,
        lacking: Lacking = lambda: None,
    ) -> None:
        folder = DataFolder(settings.data_dir)
        self._trees = TreeCache(folder.cache / "trees", objects)
        materialiser = Materialiser(store, self._trees, Sealer(credentials.secrets_key))
        self._keys = Keys(store, away=self._store_is_away)
        self._resolver = Resolver(
            store, materialiser, sandbox, run_url=settings.run_url.rstrip("/"), away=self._store_is_away
        )
        self._feed = ChangeFeed(
            store,
            [self._keys.changed, self._resolver.changed],
            tolerance_seconds=settings.store_tolerance_seconds,
        )
        meters = Meters(self._resolver.name_of)
        self._recorder = Recorder(folder.spool, store, meters)
        self.metrics = GatewayMetrics(meters, self._feed, self._recorder)
        self.readiness = GatewayReadiness(self._feed, self._recorder, lacking)
        parts = Parts(
            feed=self._feed,
            resolver=self._resolver,
            admission=Admission(self._keys, _buckets(settings)),
            sandbox=sandbox,
            recorder=self._recorder,
            meters=meters,
            max_body_mb=settings.max_body_mb,
        )
        shares_host = urlsplit(settings.url).hostname == urlsplit(settings.run_url).hostname
        self.app = functions_app(
            parts,
            AnswerRules.for_functions(shares_host=shares_host),
            self.readiness,
            instance=settings.instance,
        )
        self.compat = Invocations(parts, AnswerRules.for_platform())
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to follow changes and to deliver records. Raises `Unavailable` when the store is away."""
        await self._feed.start()
        await self._keys.start()
        await self._recorder.start()
        self._tasks = [
            asyncio.create_task(self._resolver.warm_kept(), name="gateway-warming"),
            asyncio.create_task(self._tidy(), name="gateway-tidying"),
        ]

    def leave(self) -> None:
        """Says from now on that this process takes nothing new."""
        self.readiness.leaving = True

    async def close(self) -> None:
        """Stops, and delivers the records that wait; what the store does not take stays on disk."""
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                _log.error("a task of the gateway has failed", exc_info=ended)
        self._tasks.clear()
        await self._feed.close()
        await self._resolver.close()
        await self._keys.close()
        await self._recorder.close()

    def notify(self) -> None:
        """Takes up at once what this process has changed in the store, instead of at the next poll."""
        self._feed.poke()

    async def prewarm(self, function: Function) -> None:
        """Returns when calls reach the function's live version, with a warm worker where that is possible."""
        await self._resolver.prewarm(function.owner_id, function.id)

    def _store_is_away(self) -> bool:
        return self._feed.away

    async def _tidy(self) -> None:
        """Keeps the cache of bundles and layers from growing without bound; what is served stays."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            try:
                await self._trees.shrink(CACHE_BYTES, keep=self._resolver.trees())
            except OSError as error:
                _log.warning("the cache was not tidied: %s", error)


def _buckets(settings: Settings) -> TokenBuckets | None:
    if settings.rate_per_second == 0:
        return None
    return TokenBuckets(settings.rate_per_second, settings.rate_burst)
