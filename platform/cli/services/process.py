"""One process of a service: starts it, serves it, and leaves when it is told to.

- The internal port answers from the first moment to the last. The service's own ports take connections once it has
  started, however long it has to wait for its servers.
- SIGTERM and SIGINT: it says that it is not ready, takes no more connections, finishes what has begun within
  `grace_seconds`, hands its records to the store and ends with 0. A second signal ends it at once.

`python -m cloudserve.cli.services.process ROLE` with inherited sockets is one of several (`crew`).
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final, get_args

import structlog
import uvloop

from cloudserve.cli.services.api import api
from cloudserve.cli.services.collectors import About
from cloudserve.cli.services.everything import everything
from cloudserve.cli.services.gateway import gateway
from cloudserve.cli.services.internal import Internal, Scrape
from cloudserve.cli.services.sandbox import sandbox
from cloudserve.cli.services.service import Service
from cloudserve.cli.services.settings import ROLES, Configuration, Role
from cloudserve.cli.services.sockets import Sockets
from cloudserve.cli.services.stage import Stage
from cloudserve.cli.serving import Application, Origin, keep_descriptors, serving, settle
from cloudserve.cli.supervision.listeners import Origin as OriginName
from cloudserve.core.confine.tiers import Protection, detect
from cloudserve.core.objects.abc import ObjectsError
from cloudserve.core.store.abc import StoreError
from cloudserve.core.telemetry import logging as telemetry
from cloudserve.core.telemetry import tracing
from cloudserve.core.version import VERSION

Compose = Callable[[Configuration, Protection, Stage], AbstractAsyncContextManager[Service]]

_COMPOSITIONS: Final[dict[Role, Compose]] = {"api": api, "gateway": gateway, "all": everything}

EXIT_CANNOT_START: Final = 1

log = structlog.get_logger("cloudserve.services")


class Orders:
    """What a process is told: to leave, by a signal or by the end of who watches over it."""

    def __init__(self, lifeline: int | None = None) -> None:
        self.leave = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._lifeline = lifeline
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled, number)
        if lifeline is not None:
            self._loop.add_reader(lifeline, self._left_alone)  # it is only ever readable at its end

    def _signalled(self, number: signal.Signals) -> None:
        if self.leave.is_set():
            log.warning("told twice to end: ending at once", signal=number.name)
            os._exit(128 + number)
        self.leave.set()

    def _left_alone(self) -> None:
        assert self._lifeline is not None  # noqa: S101 - it is what has ended
        self._loop.remove_reader(self._lifeline)
        self.leave.set()


async def run(
    configuration: Configuration,
    protection: Protection,
    sockets: Sockets,
    *,
    lifeline: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Runs the service until it is told to leave.

    Raises `StoreError`, `ObjectsError` or OSError when it can't be started.
    """
    role, grace = configuration.role, configuration.service.grace_seconds
    stage, orders = Stage(), Orders(lifeline)
    scrape = Scrape([About(role)])
    told = sockets.told()
    log.info("starting", role=role, version=VERSION, pid=os.getpid(), **told)
    internal = Origin(Internal(stage.readiness, scrape), [sockets.internal], drain_seconds=1)
    async with serving([internal]), AsyncExitStack() as opened:
        composition = _compose(configuration, protection, stage, sockets)
        service = await _unless(orders.leave, opened.enter_async_context(composition))
        if service is None:
            log.info("told to end before it had started")
            return
        scrape.add(service.collectors)
        traced = await _tracing(role, opened)
        origins = [
            Origin(traced(application), [sockets.origins[name]], drain_seconds=grace)
            for name, application in service.origins.items()
        ]
        settle()
        async with serving(origins) as them:
            stage.serving(service.check)
            log.info("serving", role=role, **told)
            tell("ready\n")
            await orders.leave.wait()
            stage.now = "leaving"
            service.leave()
            them.stop_listening()
            tell("leaving\n")
            log.info("leaving: finishing what has begun", grace_seconds=grace)
    log.info("left")


def _compose(
    configuration: Configuration, protection: Protection, stage: Stage, sockets: Sockets
) -> AbstractAsyncContextManager[Service]:
    if configuration.role == "sandbox":
        return sandbox(configuration, protection, sockets.origins["sandbox"])
    return _COMPOSITIONS[configuration.role](configuration, protection, stage)


async def _tracing(role: Role, opened: AsyncExitStack) -> Callable[[Application], Application]:
    """Returns what gives each request of an application a span, where there is a collector to send them to."""
    if not tracing.wanted():
        return lambda application: application
    if not tracing.installed():
        log.warning("OTEL_* names a collector, but the extra `otel` is not installed: there are no traces")
        return lambda application: application
    made = await asyncio.to_thread(tracing.Tracing, f"cloudserve-{role}")
    opened.push_async_callback(asyncio.to_thread, made.close)
    return lambda application: tracing.Traced(application, made)


async def _unless(leave: asyncio.Event, starting: Coroutine[Any, Any, Service]) -> Service | None:
    """Returns the service once it has started, None when it is told to leave before."""
    task = asyncio.create_task(starting)
    waiting = asyncio.create_task(leave.wait())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait([task])
    return None


def complete(running: Coroutine[Any, Any, None]) -> int:
    """Runs a service to its end in this process, and returns the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(running)
        except (StoreError, ObjectsError, OSError) as error:
            log.error("the service can't be started", error=str(error))
            return EXIT_CANNOT_START
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of several processes, with what the watching one has handed over (`supervision.child`)."""
    parser = argparse.ArgumentParser(prog="cloudserve.cli.services.process")
    parser.add_argument("role", choices=ROLES)
    for name in (*get_args(OriginName), "tell", "lifeline"):
        parser.add_argument(f"--{name}", type=int)
    given = vars(parser.parse_args(arguments))
    keep_descriptors()
    configuration = Configuration.load(given["role"])
    telemetry.configure(configuration.settings.log_level)
    origins: dict[OriginName, int] = {
        name: given[name] for name in get_args(OriginName) if name != "internal" and given[name] is not None
    }

    def tell(text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # who watched is gone, which the lifeline tells
            os.write(given["tell"], text.encode())

    sockets = Sockets.inherited(origins, given["internal"])
    return complete(run(configuration, detect(), sockets, lifeline=given["lifeline"], tell=tell))


if __name__ == "__main__":
    sys.exit(main())
