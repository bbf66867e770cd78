"""The platform's process: all services on one loop, as the supervisor starts it.

`python -m cloudserve.cli.platform` with the arguments of `serving.Inherited`.
"""

import asyncio
import contextlib
import logging
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

import uvloop
from fastapi import FastAPI

from cloudserve.api.service import ApiService
from cloudserve.cli.services.backends import open_backends
from cloudserve.cli.services.host import local_sandbox, make_work_folder, walls
from cloudserve.cli.services.stage import Stage
from cloudserve.cli.serving import DRAIN_SECONDS, Inherited, keep_descriptors, serve, settle
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.confine.minimum import TooWeak
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.connections import Connections
from cloudserve.core.models.function import Function, Version
from cloudserve.core.opening import mailer_of
from cloudserve.core.telemetry import logging as telemetry
from cloudserve.gateway.service import GatewayService
from cloudserve.sandbox.abc import Sandbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Platform:
    """The services of a platform, started."""

    api: ApiService
    gateway: GatewayService
    sandbox: Sandbox

    @property
    def platform_app(self) -> FastAPI:
        """The platform's origin."""
        return self.api.app

    @property
    def run_app(self) -> FastAPI:
        """The functions' origin."""
        return self.gateway.app


@contextlib.asynccontextmanager
async def platform(
    settings: Settings,
    protection: Protection,
    *,
    connections: Connections,
    credentials: Credentials,
    stage: Stage,
    grace_seconds: float = DRAIN_SECONDS,
) -> AsyncIterator[Platform]:
    """Composes and starts the services; closes them in reverse, each after those that use it."""
    folder = DataFolder(settings.data_dir)
    make_work_folder(folder.work)
    async with contextlib.AsyncExitStack() as opened:
        opened.callback(shutil.rmtree, folder.work, ignore_errors=True)
        backends = await open_backends(opened, connections, settings, stage)
        sandbox = local_sandbox(settings, folder, protection)
        await sandbox.start()
        opened.push_async_callback(sandbox.close, grace_seconds=grace_seconds)

        def sandbox_status() -> dict[str, Any]:
            return {"kind": "local", **asdict(sandbox.stats())}

        gateway = GatewayService(
            settings=settings,
            store=backends.store,
            objects=backends.objects,
            credentials=credentials,
            sandbox=sandbox,
        )
        await stage.wait_for("store", gateway.start)
        opened.push_async_callback(gateway.close)

        async def on_live(function: Function, _version: Version) -> None:
            await gateway.prewarm(function)

        api = ApiService(
            settings=settings,
            store=backends.store,
            objects=backends.objects,
            mailer=mailer_of(connections),
            credentials=credentials,
            sandbox_status=sandbox_status,
            protection=protection,
            on_live=on_live,
        )
        api.app.mount("/run", gateway.compat)
        await api.start()
        opened.push_async_callback(api.close)
        yield Platform(api, gateway, sandbox)


async def run(inherited: Inherited) -> None:
    """Runs the platform until it is told to end, or ends at once on a host whose walls are too weak."""
    settings = Settings.load(inherited.settings)
    telemetry.configure(settings.log_level)
    try:
        protection = walls(settings)
    except TooWeak as error:
        _log.error("%s", error)
        inherited.refuse(str(error))
        sys.exit(1)
    credentials = Credentials.load_or_create(DataFolder(settings.data_dir).credentials)

    async def leaving() -> None:
        _log.info("finishing what has begun")

    async with platform(
        settings, protection, connections=Connections.load(), credentials=credentials, stage=Stage()
    ) as started:
        settle()
        await serve(inherited, platform=started.platform_app, run=started.run_app, on_leaving=leaving)


def main() -> None:
    """Runs the platform's process."""
    inherited = Inherited.parse()
    keep_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(inherited))


if __name__ == "__main__":
    main()
