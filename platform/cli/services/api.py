"""The control plane as a service of its own. Builds run on its host, behind its walls."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from cloudserve.api.service import ApiService
from cloudserve.cli.services.backends import open_backends
from cloudserve.cli.services.host import make_work_folder
from cloudserve.cli.services.service import Service
from cloudserve.cli.services.settings import Configuration
from cloudserve.cli.services.stage import Stage
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.opening import mailer_of


@asynccontextmanager
async def api(configuration: Configuration, protection: Protection, stage: Stage) -> AsyncIterator[Service]:
    """Starts the control plane; what it deploys, the gateways learn from the store."""
    folder = configuration.folder
    make_work_folder(folder.work)
    async with AsyncExitStack() as opened:
        opened.callback(shutil.rmtree, folder.work, ignore_errors=True)
        backends = await open_backends(opened, configuration.connections, configuration.settings, stage)
        service = ApiService(
            settings=configuration.settings,
            store=backends.store,
            objects=backends.objects,
            mailer=mailer_of(configuration.connections),
            credentials=configuration.credentials(),
            sandbox_status=lambda: {"kind": "separate"},
            protection=protection,
        )
        await service.start()
        opened.push_async_callback(service.close)
        yield Service(
            origins={"platform": service.app},
            check=service.context.readiness.check,
            leave=service.leave,
            collectors=[service.context.meter],
        )
