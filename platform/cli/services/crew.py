"""Several processes of one service on this host: started together, each started again when it ends, left together.

This process holds the sockets and serves the internal port for all of them (`merged`); calls it never sees. A process
that crashes is logged and started again, at once when it had lasted, else after waits that double (`waits`). SIGTERM
and SIGINT leave gracefully, all at once; a second signal ends them on the spot.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from typing import Final

import structlog

from cloudserve.cli import serving
from cloudserve.cli.services.internal import Internal
from cloudserve.cli.services.merged import Merged
from cloudserve.cli.services.settings import Configuration
from cloudserve.cli.services.sockets import Sockets, address_of
from cloudserve.cli.supervision.child import Child
from cloudserve.cli.supervision.listeners import Address, Origin, bound
from cloudserve.cli.supervision.waits import next_wait

FLUSH_SECONDS: Final = 15.0
"""Beyond the grace for calls: handing the records to the store, and ending the workers."""

log = structlog.get_logger("cloudserve.services")


class Crew:
    """The processes of one service."""

    def __init__(self, configuration: Configuration, sockets: Sockets) -> None:
        self._configuration = configuration
        self._sockets = sockets
        self._internal = {
            number: bound(Address("internal", "127.0.0.1", 0))
            for number in range(1, configuration.service.processes + 1)
        }
        self._children: dict[int, Child] = {}
        self._leave = asyncio.Event()

    async def run(self) -> None:
        """Runs until it is told to leave."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        log.info("starting", processes=len(self._internal), role=self._configuration.role, **self._sockets.told())
        merged = Merged({number: f"http://{address_of(one)}" for number, one in self._internal.items()})
        internal = serving.Origin(Internal(merged.check, merged.scrape), [self._sockets.internal], drain_seconds=1)
        try:
            async with serving.serving([internal]):
                keeping = [asyncio.create_task(self._keep(number)) for number in self._internal]
                await self._leave.wait()
                merged.leaving = True
                for child in self._children.values():
                    child.stop()
                await asyncio.gather(*keeping)
        finally:
            await merged.close()
        log.info("left")

    async def _keep(self, number: int) -> None:
        """Has one process run, however often it ends."""
        wait = 0.0
        while not self._leave.is_set():
            begun = time.monotonic()
            child = self._start(number)
            await child.ended.wait()
            if self._leave.is_set():
                return
            wait = next_wait(wait, time.monotonic() - begun)
            log.error(
                "a process has ended, and is started again",
                process=number,
                pid=child.pid,
                how=child.exit_reason,
                wait=wait,
            )
            await self._rest(wait)

    async def _rest(self, seconds: float) -> None:
        leaving = asyncio.ensure_future(self._leave.wait())
        try:
            await asyncio.wait([leaving], timeout=seconds)
        finally:
            leaving.cancel()

    def _start(self, number: int) -> Child:
        inherited: dict[Origin, socket.socket] = {**self._sockets.origins, "internal": self._internal[number]}
        child = Child(
            [sys.executable, "-m", "cloudserve.cli.services.process", self._configuration.role],
            sockets={name: [one.fileno()] for name, one in inherited.items()},
            piped=False,
            kill_after_seconds=self._configuration.service.grace_seconds + FLUSH_SECONDS,
        )
        self._children[number] = child
        child.watch(None, lambda _: None)
        log.info("started a process", process=number, pid=child.pid)
        return child

    def _signalled(self, number: signal.Signals) -> None:
        if self._leave.is_set():
            log.warning("told twice to end: ending at once", signal=number.name)
            for child in self._children.values():
                child.kill()
            os._exit(128 + number)
        self._leave.set()
