"""Works off builds: claims one, has it built, makes its version live, and keeps what was printed.

A build is a row with a lease. Whoever holds the lease prolongs it while the build goes on; when a process dies, its
leases run out and another takes the build up, at most `MAX_ATTEMPTS` times in all. Each step may be repeated: a version
that was added before a crash is found again, and going live is one compare-and-set. A build waits for an object store
that is away, and goes on through an absence of the store that is shorter than its lease.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Final

from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.tools import Output
from cloudserve.core.ids import new_id
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.function import Build, Function, Version
from cloudserve.core.objects.abc import ObjectsUnavailable
from cloudserve.core.store.abc import Gone, Store, Taken, Unavailable

MAX_ATTEMPTS: Final = 3
BUILDS_AT_ONCE: Final = 2
LEASE_SECONDS: Final = 10.0
EXTEND_SECONDS: Final = 1.0
"""How often the lease is prolonged, and with it what was printed so far is shown."""
ANNOUNCE_SECONDS: Final = 5.0
OBJECTS_SECONDS: Final = 5.0
"""How long a build waits before it asks an object store again that was away."""
POLL_SECONDS: Final = 5.0
"""How often to look for builds that nobody in this process announced: those whose lease has run out."""

OnLive = Callable[[Function, Version], Awaitable[None]]
Make = Callable[[Build, Output], Coroutine[Any, Any, Version]]

_log = logging.getLogger(__name__)


async def announce(on_live: OnLive | None, function: Function, version: Version) -> None:
    """Tells that a version has gone live, within `ANNOUNCE_SECONDS`; whatever goes wrong with that is logged alone."""
    if on_live is None:
        return
    try:
        async with asyncio.timeout(ANNOUNCE_SECONDS):
            await on_live(function, version)
    except Exception:  # noqa: BLE001 - a version is live whether or not it is warm
        _log.exception("version %d of function %s could not be warmed", version.number, function.id)


class LeaseLost(Exception):  # noqa: N818 - reads as what happened
    """Another works on the build, or it is gone with its function."""


class BuildWorker:
    """Builds at most two versions at once. `start` once, `close` once; `wake` whenever a build was added."""

    def __init__(self, store: Store, make: Make, on_live: OnLive | None = None) -> None:
        self._store = store
        self._make = make
        self._on_live = on_live
        self._name = new_id()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to take up builds."""
        self._wake.set()
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(BUILDS_AT_ONCE)]

    async def close(self) -> None:
        """Stops; a build under way is given up, and taken up again at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def wake(self) -> None:
        """Tells that there is a build to take up."""
        self._wake.set()

    async def _work(self, number: int) -> None:
        name = f"{self._name}-{number}"
        while True:
            self._wake.clear()
            try:
                worked = await self._one(name)
            except Unavailable:
                worked = False
            except Exception:  # noqa: BLE001 - whatever happens to one build, others go on
                _log.exception("a build ended in an error of the platform")
                worked = False
            if worked:
                self._wake.set()  # the other one may have missed a call while both were busy
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    async def _one(self, name: str) -> bool:
        """Takes up one build and brings it to its end; False when there is none."""
        now = utc_now()
        build = await self._store.builds.claim(name, now=now, until=now + timedelta(seconds=LEASE_SECONDS))
        if build is None:
            return False
        output = Output()
        try:
            await self._run(build, name, output)
        except asyncio.CancelledError:
            # The next start need not wait for the lease to run out.
            with contextlib.suppress(Unavailable):
                await self._store.builds.extend(build.id, name, until=utc_now(), output=output.text)
            raise
        except (LeaseLost, Gone):
            _log.info("build %s was taken over, or deleted with its function", build.id)
        return True

    async def _run(self, build: Build, name: str, output: Output) -> None:
        try:
            if build.attempts > MAX_ATTEMPTS:
                raise BuildFailed(f"The build was cut off {MAX_ATTEMPTS} times; it is not tried again.")
            await self._store.functions.set_status(
                build.owner_id, build.function_id, "deploying", sequence=build.sequence
            )
            version = await self._version(build, name, output)
        except BuildFailed as failure:
            await self._fail(build, name, output, str(failure))
        except (ObjectsUnavailable, Unavailable):
            raise  # the lease runs out, and the build is taken up again
        except Exception:
            if build.attempts >= MAX_ATTEMPTS:
                await self._fail(build, name, output, "The platform could not build this version. Its log says more.")
            raise
        else:
            await self._go_live(build, name, output, version)

    async def _version(self, build: Build, name: str, output: Output) -> Version:
        """Returns the build's version: the one that an earlier attempt added, or a new one."""
        earlier = await self._store.versions.get(build.owner_id, build.function_id, build.number)
        if earlier is not None:
            return earlier
        held_until = utc_now() + timedelta(seconds=LEASE_SECONDS)
        making = asyncio.create_task(self._made(build, output))
        try:
            while not making.done():
                await asyncio.wait([making], timeout=EXTEND_SECONDS)
                if not making.done():
                    held_until = await self._keep(build, name, output, held_until)
            version = await making
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
        await self._extend(build, name, output)
        with contextlib.suppress(Taken):  # the same build, by one that has lost its lease since
            await self._store.versions.add(version)
        return version

    async def _made(self, build: Build, output: Output) -> Version:
        """Makes a version. An object store that is away is waited for, and costs the build none of its attempts."""
        told = False
        while True:
            try:
                return await self._make(build, output)
            except ObjectsUnavailable as error:
                if not told:
                    _log.warning("build %s waits for the object store: %s", build.id, error)
                    output.write("The object store can't be reached just now; the build goes on when it is back.")
                told = True
                await asyncio.sleep(OBJECTS_SECONDS)

    async def _keep(self, build: Build, name: str, output: Output, held_until: datetime) -> datetime:
        """Prolongs the lease unless the store is away; raises `Unavailable` when it was until the lease ran out."""
        try:
            return await self._extend(build, name, output)
        except Unavailable:
            if utc_now() >= held_until:
                raise
            return held_until

    async def _extend(self, build: Build, name: str, output: Output) -> datetime:
        """Prolongs the lease; returns when it runs out now. Raises `LeaseLost`."""
        until = utc_now() + timedelta(seconds=LEASE_SECONDS)
        if not await self._store.builds.extend(build.id, name, until=until, output=output.text):
            raise LeaseLost
        return until

    async def _go_live(self, build: Build, name: str, output: Output, version: Version) -> None:
        owner_id, function_id, sequence = build.owner_id, build.function_id, build.sequence
        await self._store.functions.go_live(owner_id, function_id, number=build.number, sequence=sequence, at=utc_now())
        await self._store.functions.set_status(owner_id, function_id, "active", sequence=sequence)
        # Before the build is called done, so that whoever waited for it reaches the new version with the next call.
        function = await self._store.functions.get(owner_id, function_id)
        if function is not None and function.live_version == build.number:
            await announce(self._on_live, function, version)
        output.write(f"Version {build.number} is ready.")
        await self._store.builds.finish(build.id, name, status="active", error=None, output=output.text, at=utc_now())

    async def _fail(self, build: Build, name: str, output: Output, error: str) -> None:
        output.write(error)
        await self._store.functions.set_status(
            build.owner_id, build.function_id, "failed", sequence=build.sequence, error=error
        )
        await self._store.builds.finish(build.id, name, status="failed", error=error, output=output.text, at=utc_now())
