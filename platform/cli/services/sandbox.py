"""Workers on a host of their own, for gateways elsewhere. It is given no store, no key, and no way to either."""

import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from cloudserve.cli.services.collectors import Gateways, Workers
from cloudserve.cli.services.host import local_sandbox, make_work_folder
from cloudserve.cli.services.service import Service
from cloudserve.cli.services.settings import Configuration
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.readiness import OK, Readiness
from cloudserve.sandbox.remote.host import SandboxHost


@asynccontextmanager
async def sandbox(configuration: Configuration, protection: Protection, bound: socket.socket) -> AsyncIterator[Service]:
    """Starts the workers' pool and takes calls at the socket `bound`."""
    folder = configuration.folder
    make_work_folder(folder.work)
    async with AsyncExitStack() as opened:
        opened.callback(shutil.rmtree, folder.work, ignore_errors=True)
        pool = local_sandbox(configuration.settings, folder, protection)
        await pool.start()
        opened.push_async_callback(pool.close, grace_seconds=0)
        host = SandboxHost(pool, listen=bound, tls=configuration.service.tls(), folder=folder.cache / "trees")
        await host.start()
        opened.push_async_callback(host.close, grace_seconds=configuration.service.grace_seconds)

        async def check() -> Readiness:
            return Readiness(not host.draining, {"process": "leaving" if host.draining else OK})

        yield Service(origins={}, check=check, leave=host.drain, collectors=[Workers(pool.stats), Gateways(host)])
