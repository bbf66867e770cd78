"""The data plane as a service of its own: with sandboxes on other hosts, or with workers on this one."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from cloudserve.cli.services.backends import open_backends
from cloudserve.cli.services.collectors import Hosts, Workers
from cloudserve.cli.services.host import local_sandbox, make_work_folder
from cloudserve.cli.services.service import Service
from cloudserve.cli.services.settings import Configuration
from cloudserve.cli.services.stage import Stage
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.readiness import Readiness
from cloudserve.gateway.service import GatewayService
from cloudserve.sandbox.remote.client import RemoteSandbox


@asynccontextmanager
async def gateway(configuration: Configuration, protection: Protection, stage: Stage) -> AsyncIterator[Service]:
    """Starts a gateway and its sandbox."""
    folder = configuration.folder
    make_work_folder(folder.work)
    async with AsyncExitStack() as opened:
        opened.callback(shutil.rmtree, folder.work, ignore_errors=True)
        backends = await open_backends(opened, configuration.connections, configuration.settings, stage)
        remote = _remote(configuration)
        sandbox = remote or local_sandbox(configuration.settings, folder, protection)
        await sandbox.start()
        opened.push_async_callback(sandbox.close, grace_seconds=configuration.service.grace_seconds)
        service = GatewayService(
            settings=configuration.settings,
            store=backends.store,
            objects=backends.objects,
            credentials=configuration.credentials(),
            sandbox=sandbox,
            lacking=_has_workers if remote is None else partial(_no_host, remote),
        )
        await stage.wait_for("store", service.start)
        opened.push_async_callback(service.close)

        async def check() -> Readiness:
            return service.readiness.check()

        yield Service(
            origins={"run": service.app},
            check=check,
            leave=service.leave,
            collectors=[service.metrics, Workers(sandbox.stats) if remote is None else Hosts(remote)],
        )


def _remote(configuration: Configuration) -> RemoteSandbox | None:
    if not configuration.service.sandboxes:
        return None
    return RemoteSandbox(configuration.service.sandboxes, tls=configuration.service.tls())


def _has_workers() -> None:
    """Says nothing: workers of this process are always to be had."""


def _no_host(remote: RemoteSandbox) -> str | None:
    return None if remote.reachable else f"none of {remote.hosts} sandbox hosts can be reached"
