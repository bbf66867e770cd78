"""The platform's process as it runs on a host that can make no walls, to tell what walls cost on one that can.

For measuring only. `python -m cloudserve.cli.bench.unwalled` with the arguments of `serving.Inherited`.
"""

import asyncio

import uvloop

from cloudserve.cli.platform import platform
from cloudserve.cli.services.stage import Stage
from cloudserve.cli.serving import Inherited, keep_descriptors, serve
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.confine.tiers import detect
from cloudserve.core.connections import Connections
from cloudserve.core.telemetry import logging as telemetry


async def run(inherited: Inherited) -> None:
    """Runs the platform until it is told to end."""
    settings = Settings.load(inherited.settings)
    telemetry.configure(settings.log_level)

    async def leaving() -> None:
        """Has nothing to tell anybody."""

    credentials = Credentials.load_or_create(DataFolder(settings.data_dir).credentials)
    async with platform(
        settings, detect("none"), connections=Connections.load(), credentials=credentials, stage=Stage()
    ) as started:
        await serve(inherited, platform=started.platform_app, run=started.run_app, on_leaving=leaving)


if __name__ == "__main__":
    given = Inherited.parse()
    keep_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(given))
