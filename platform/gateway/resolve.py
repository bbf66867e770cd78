"""From owner and name to a route, cached in memory, and kept right by the change feed.

Guarantees
- A name that was asked for before, known or not, is answered from memory; many callers of one name load it once.
- A change is taken up behind the calls: the old route serves until the new version's files are here and a worker of it
  is warm, then one assignment switches, and the old workers end when their calls have. Each answer is of one version.
  A pause, and a change of who may call, wait for no worker.
- When the store or the object store is away, what is known goes on (for how long: `ChangeFeed.fresh`), and the change
  is tried again until it is taken up, a function by itself at most every `LONGEST_RETRY_SECONDS`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from cloudserve.core.auth.sealing import SealBroken
from cloudserve.core.errors import Problem
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.function import Function
from cloudserve.core.models.owner import Owner
from cloudserve.core.objects.abc import ObjectsError
from cloudserve.core.store.abc import Change, Store, StoreError
from cloudserve.core.trees import BadTree
from cloudserve.gateway.errors import not_loaded
from cloudserve.gateway.kept import kept_warm
from cloudserve.gateway.lookups import Lookups
from cloudserve.gateway.materialise import Materialiser
from cloudserve.gateway.route import Route
from cloudserve.sandbox.abc import Deployment, InvocationFailed, Sandbox

MOST_ROUTES: Final = 20_000
MOST_MISSING: Final = 10_000
LONGEST_NAME: Final = 100
"""No owner and no function has a longer one; what strangers make up must not fill the memory with 64 KiB a name."""

WARM_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 0.5
LONGEST_RETRY_SECONDS: Final = 5.0
JUST_SECONDS: Final = 60.0
_WARM_AGAIN_SECONDS: Final = 30.0
_WARMED_AT_ONCE: Final = 4
_LOOKED_UP_AT_ONCE: Final = 16
"""What strangers make up must leave the change feed and the delivery of records their share of a slow store."""
_ANSWER_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)

Name = tuple[str, str]
_LOAD_ERRORS: Final = (StoreError, ObjectsError, BadTree, SealBroken, OSError)


class Resolver:
    """The cache of routes. `away` tells whether the store is known to be away.

    `close` ends what goes on behind the calls.
    """

    def __init__(
        self,
        store: Store,
        materialiser: Materialiser,
        sandbox: Sandbox,
        *,
        run_url: str,
        away: Callable[[], bool],
        most_routes: int = MOST_ROUTES,
        most_missing: int = MOST_MISSING,
    ) -> None:
        self._store = store
        self._materialiser = materialiser
        self._sandbox = sandbox
        self._run_url = run_url
        self._most_routes = most_routes
        self._most_missing = most_missing
        self._routes: dict[Name, Route] = {}
        self._names: dict[str, Name] = {}
        self._missing: dict[Name, None] = {}
        self._loads = Lookups(self._load, asked="the store or the object store", away=away)
        self._turns = asyncio.Semaphore(_LOOKED_UP_AT_ONCE)
        self._refreshes: dict[str, _Refresh] = {}
        self._changes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._warming = asyncio.Semaphore(_WARMED_AT_ONCE)

    def cached(self, owner: str, name: str) -> Route | None:
        """Returns the route if it is in memory."""
        return self._routes.get((owner, name))

    async def find(self, owner: str, name: str) -> Route | None:
        """Returns the route, None when there is none. Raises `Problem` (503) when that can't be told just now."""
        key = (owner, name)
        route = self._routes.get(key)
        if route is not None:
            return route
        if key in self._missing or max(len(owner), len(name)) > LONGEST_NAME:
            return None
        try:
            return await self._loads.find(key)
        except _LOAD_ERRORS as error:
            raise not_loaded(error) from error

    def name_of(self, function_id: str) -> Name | None:
        """Returns the owner and the name of a function that is in memory."""
        return self._names.get(function_id)

    def changed(self, change: Change) -> None:
        """Takes up a change, behind the calls."""
        if change.kind == "key":
            return
        self._changes += 1
        self._missing.clear()
        if change.kind == "function":
            self._refresh_soon(change.owner_id, change.id)
        else:
            for route in [route for route in self._routes.values() if route.owner_id == change.id]:
                self._refresh_soon(route.owner_id, route.function_id)

    async def prewarm(self, owner_id: str, function_id: str) -> None:
        """Returns when a function's live version is what calls reach, with a warm worker where that is possible."""
        await asyncio.shield(self._refresh_soon(owner_id, function_id))

    async def warm_kept(self) -> None:
        """Warms every live function that asks for warm workers (`Limits.min_warm`), as after a restart.

        A store that is away is waited for, and what can't be loaded is tried again.
        """
        names: list[Name] | None = None
        while names is None:
            try:
                names = await kept_warm(self._store)
            except StoreError as error:
                _log.warning("the functions to keep warm can't be told, trying again: %r", error)
                await asyncio.sleep(LONGEST_RETRY_SECONDS)
        while names:
            names = [name for name in names if not await self._warmed(name)]
            await asyncio.sleep(_WARM_AGAIN_SECONDS if names else 0)

    def trees(self) -> set[str]:
        """Returns the hashes of the trees that routes lead to."""
        deployments = [route.deployment for route in self._routes.values() if route.deployment is not None]
        return {tree.name for one in deployments for tree in (one.code, one.layer) if tree is not None}

    async def close(self) -> None:
        """Ends loads and refreshes under way."""
        await self._loads.close()
        tasks = [*self._tasks, *(refresh.task for refresh in self._refreshes.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # A first call.

    async def _load(self, key: Name) -> Route | None:
        try:
            return await self._loaded(key)
        except _LOAD_ERRORS as error:
            _log.warning("%s/%s can't be loaded: %r", *key, error)
            raise

    async def _loaded(self, key: Name) -> Route | None:
        changes = self._changes
        async with self._turns:
            owner = await self._store.owners.by_name(key[0])
            function = None if owner is None else await self._store.functions.by_name(owner.id, key[1])
        if owner is None or function is None:
            if changes == self._changes:
                _make_room(self._missing, self._most_missing)
                self._missing[key] = None
            return None
        deployment = await self._materialiser.live(function) if _serves(owner, function) else None
        if key not in self._routes:
            self._put(self._route(owner, function, deployment))
            if changes != self._changes:
                self._refresh_soon(owner.id, function.id)
        return self._routes[key]

    async def _warmed(self, name: Name) -> bool:
        try:
            route = await self.find(*name)
        except Problem as problem:
            _log.warning("%s/%s can't be warmed, trying again: %s", *name, problem)
            return False
        if route is not None and route.deployment is not None:
            await self._warm_one(route.deployment)
        return True

    # What changed, behind the calls.

    def _refresh_soon(self, owner_id: str, function_id: str) -> asyncio.Task[None]:
        refresh = self._refreshes.get(function_id)
        if refresh is None:
            again = asyncio.Event()
            task = asyncio.create_task(self._refresh_until_done(owner_id, function_id, again))
            refresh = self._refreshes[function_id] = _Refresh(task, again)
            task.add_done_callback(lambda _: self._refreshes.pop(function_id))
        else:
            refresh.again.set()
        return refresh.task

    async def _refresh_until_done(self, owner_id: str, function_id: str, again: asyncio.Event) -> None:
        wait = RETRY_SECONDS
        while True:
            again.clear()
            try:
                await self._refresh(owner_id, function_id, again)
            except _LOAD_ERRORS as error:
                _log.warning("function %s can't be brought up to date, trying again: %r", function_id, error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await again.wait()  # a pause must not wait for a bundle that can't be had
                wait = RETRY_SECONDS if again.is_set() else min(2 * wait, LONGEST_RETRY_SECONDS)
            else:
                if not again.is_set():
                    return

    async def _refresh(self, owner_id: str, function_id: str, again: asyncio.Event) -> None:
        async with self._turns, asyncio.timeout(_ANSWER_SECONDS):
            owner = await self._store.owners.get(owner_id)
            function = await self._store.functions.get(owner_id, function_id)
        name = self._names.get(function_id)
        if owner is None or function is None or (name is not None and name != (owner.name, function.name)):
            self._drop(name)
        if owner is None or function is None:
            await self._sandbox.retire(function_id)
            return
        known = self._routes.get((owner.name, function.name))
        if known is None and not _just_deployed(function):
            return
        if not _serves(owner, function):
            self._put(self._route(owner, function, None))
            await self._sandbox.retire(function_id)
            return
        if known is not None and known.deployment is not None:
            self._put(self._route(owner, function, known.deployment))
        deployment = await self._materialiser.live(function)
        if deployment is not None:
            await self._warm(deployment, again)
            if again.is_set():
                return
        self._put(self._route(owner, function, deployment))
        await self._sandbox.retire(function_id, keep_version=None if deployment is None else deployment.version_id)

    async def _warm(self, deployment: Deployment, again: asyncio.Event) -> None:
        """Returns when a worker is warm, can't be made so, or the function has changed `again`."""
        warming = self._spawn(self._warm_one(deployment))
        changing = asyncio.create_task(again.wait())
        try:
            await asyncio.wait([warming, changing], timeout=WARM_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changing.cancel()

    async def _warm_one(self, deployment: Deployment) -> None:
        async with self._warming:
            try:
                await self._sandbox.warm(deployment)
            except InvocationFailed as error:  # its callers will be told
                _log.info("version %s goes live without a warm worker: %s", deployment.version_id, error)

    def _route(self, owner: Owner, function: Function, deployment: Deployment | None) -> Route:
        return Route.to(owner.name, function, deployment, suspended=not owner.is_active, run_url=self._run_url)

    def _put(self, route: Route) -> None:
        key = (route.owner, route.name)
        if key not in self._routes and len(self._routes) >= self._most_routes:
            self._drop(next(iter(self._routes)))
        self._routes[key] = route
        self._names[route.function_id] = key
        self._missing.pop(key, None)

    def _drop(self, key: Name | None) -> None:
        route = None if key is None else self._routes.pop(key, None)
        if route is not None:
            self._names.pop(route.function_id, None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@dataclass(frozen=True, slots=True)
class _Refresh:
    """A refresh under way; `again` asks it to look once more, because something has changed since."""

    task: asyncio.Task[None]
    again: asyncio.Event


def _serves(owner: Owner, function: Function) -> bool:
    return owner.is_active and function.is_active and function.live_version is not None


def _just_deployed(function: Function) -> bool:
    """Tells whether a function that nobody has called here yet deserves a warm worker."""
    return function.deployed_at is not None and (utc_now() - function.deployed_at).total_seconds() < JUST_SECONDS


def _make_room(missing: dict[Name, None], most: int) -> None:
    if len(missing) >= most:
        del missing[next(iter(missing))]
