"""The platform's process: all services on one loop, as the supervisor starts it.

`python -m cloudserve.cli.platform` with the arguments of `serving.Inherited`.
"""

import asyncio
import contextlib
import gc
import logging
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop
from fastapi import FastAPI

from cloudserve.api.service import ApiService
from cloudserve.cli.serving import DRAIN_SECONDS, Inherited, keep_descriptors, serve
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.confine.layers import alike
from cloudserve.core.confine.minimum import TooWeak, require
from cloudserve.core.confine.tiers import Protection, detect
from cloudserve.core.mail import NoMail
from cloudserve.core.models.function import Function, Version
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.sqlite import SqliteStore
from cloudserve.core.telemetry import logging as telemetry
from cloudserve.gateway.service import GatewayService
from cloudserve.sandbox.abc import Sandbox
from cloudserve.sandbox.claims import ClaimedSandbox
from cloudserve.sandbox.pool import LocalSandbox
from cloudserve.sandbox.turnstile import Turnstile

MEBIBYTE = 1024 * 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Platform:
    """The services of a platform, started."""

    api: ApiService
    gateway: GatewayService

    @property
    def platform_app(self) -> FastAPI:
        """The platform's origin."""
        return self.api.app

    @property
    def run_app(self) -> FastAPI:
        """The functions' origin."""
        return self.gateway.app


@contextlib.asynccontextmanager
async def platform(settings: Settings, protection: Protection) -> AsyncIterator[Platform]:
    """Composes and starts the services; closes them in reverse, each after those that use it."""
    folder = DataFolder(settings.data_dir)
    _make_work_folder(folder.work)
    credentials = Credentials.load_or_create(folder.credentials)
    async with contextlib.AsyncExitStack() as opened:
        opened.callback(shutil.rmtree, folder.work, ignore_errors=True)
        store = SqliteStore(folder.database)
        await store.open()
        opened.push_async_callback(store.close)
        objects = FilesystemObjects(folder.objects)
        await objects.open()
        opened.push_async_callback(objects.close)
        sandbox = _sandbox(settings, folder, protection)
        await sandbox.start()
        opened.push_async_callback(sandbox.close, grace_seconds=DRAIN_SECONDS)

        def sandbox_status() -> dict[str, Any]:
            return {"kind": "local", **asdict(sandbox.stats())}

        gateway = GatewayService(
            settings=settings, store=store, objects=objects, credentials=credentials, sandbox=sandbox
        )
        await gateway.start()
        opened.push_async_callback(gateway.close)

        async def on_live(function: Function, _version: Version) -> None:
            await gateway.prewarm(function)

        api = ApiService(
            settings=settings,
            store=store,
            objects=objects,
            mailer=NoMail(),
            credentials=credentials,
            sandbox_status=sandbox_status,
            protection=protection,
            on_live=on_live,
        )
        api.app.mount("/run", gateway.compat)
        await api.start()
        opened.push_async_callback(api.close)
        yield Platform(api, gateway)


def _sandbox(settings: Settings, folder: DataFolder, protection: Protection) -> Sandbox:
    """Returns the sandbox of this host: at tier C one that serves one owner at a time."""

    def local() -> LocalSandbox:
        return LocalSandbox(
            work_dir=folder.work / "sandbox",
            max_workers=settings.max_workers,
            idle_seconds=settings.idle_seconds,
            queue_seconds=settings.queue_seconds,
            max_response_bytes=settings.max_response_mb * MEBIBYTE,
            bounds=settings.bounds(),
            egress_allow=settings.egress_permitted(),
            protection=protection,
        )

    if protection.tier != "C":
        return local()
    turnstile = Turnstile(folder.run / "turnstile")
    return ClaimedSandbox(local, turnstile=turnstile, queue_seconds=settings.queue_seconds)


def _make_work_folder(own: Path) -> None:
    """Makes this process's work folder, and removes those that dead processes left."""
    own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in own.parent.iterdir():
        if left == own or not (left.name.isdigit() and psutil.pid_exists(int(left.name))):
            shutil.rmtree(left, ignore_errors=True)
    own.mkdir(mode=0o700)


async def run(inherited: Inherited) -> None:
    """Runs the platform until it is told to end, or ends at once on a host whose walls are too weak."""
    settings = Settings.load(inherited.settings)
    telemetry.configure(settings.log_level)
    protection = detect()
    _log_walls(protection)
    try:
        require(protection, "none" if settings.unsafe_without_walls else settings.minimum_tier)
    except TooWeak as error:
        _log.error("%s", error)
        inherited.refuse(str(error))
        sys.exit(1)

    async def leaving() -> None:
        _log.info("finishing what has begun")

    async with platform(settings, protection) as started:
        gc.collect()
        gc.freeze()  # what is here now stays: no collection has to walk through it again
        await serve(inherited, platform=started.platform_app, run=started.run_app, on_leaving=leaving)


def _log_walls(protection: Protection) -> None:
    """Tells the tier, what is on, and of what is off why and what would help."""
    _log.info("walls: tier %s, %s", protection.tier, protection.title)
    _log.info("walls: on are %s", ", ".join(layer.name for layer in protection.on) or "none")
    for names, why, remedy in alike(protection.off):
        _log.info("walls: off: %s: %s. Remedy: %s", names, why, remedy)
    if protection.tier == "none":
        _log.warning("walls: there are none; functions can read and do what this user can. Development only")


def main() -> None:
    """Runs the platform's process."""
    inherited = Inherited.parse()
    keep_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(inherited))


if __name__ == "__main__":
    main()
