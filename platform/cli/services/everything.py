"""All services in one process, for a platform of one host: the embedded composition, over whatever stores there are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloudserve.cli.platform import platform
from cloudserve.cli.services.collectors import Workers
from cloudserve.cli.services.service import Service
from cloudserve.cli.services.settings import Configuration
from cloudserve.cli.services.stage import Stage
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.readiness import Readiness


@asynccontextmanager
async def everything(configuration: Configuration, protection: Protection, stage: Stage) -> AsyncIterator[Service]:
    """Starts the platform."""
    async with platform(
        configuration.settings,
        protection,
        connections=configuration.connections,
        credentials=configuration.credentials(),
        stage=stage,
        grace_seconds=configuration.service.grace_seconds,
    ) as started:

        async def check() -> Readiness:
            of_api, of_gateway = await started.api.context.readiness.check(), started.gateway.readiness.check()
            checks = {f"api.{need}": verdict for need, verdict in of_api.checks.items()}
            checks |= {f"gateway.{need}": verdict for need, verdict in of_gateway.checks.items()}
            return Readiness(of_api.ready and of_gateway.ready, checks)

        def leave() -> None:
            started.api.leave()
            started.gateway.leave()

        yield Service(
            origins={"platform": started.platform_app, "run": started.run_app},
            check=check,
            leave=leave,
            collectors=[started.api.context.meter, started.gateway.metrics, Workers(started.sandbox.stats)],
        )
