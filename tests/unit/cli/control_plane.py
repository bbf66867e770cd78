"""A real control plane on a real socket, for verbs that go through several of its routes."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from structlog.testing import capture_logs

from cloudserve.core.mail import MemoryMailer, NoMail
from tests.unit.api.support import code_in, running


@dataclass(slots=True)
class ControlPlane:
    """Where it answers, and the mails it has sent."""

    url: str
    mailer: MemoryMailer | NoMail

    def mailed_code(self) -> str:
        """Returns the code of the newest mail, which is sent behind the answer."""
        assert isinstance(self.mailer, MemoryMailer)
        until = time.monotonic() + 10
        while not self.mailer.sent and time.monotonic() < until:
            time.sleep(0.01)
        return code_in(self.mailer)


@contextmanager
def control_plane(folder: Path, *, mail: bool = False) -> Iterator[ControlPlane]:
    """Serves for as long as the block runs; everyone may sign up."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    mailer = MemoryMailer() if mail else NoMail()
    started, made, servers = threading.Event(), [], []

    async def serve() -> None:
        async with running(folder, mailer=mailer, url=url, run_url="http://127.0.0.1:7701") as platform:
            server = uvicorn.Server(uvicorn.Config(platform.app, log_config=None, lifespan="off"))
            made.append(ControlPlane(url, mailer))
            servers.append(server)
            started.set()
            await server.serve(sockets=[listener])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(30)
        # Its log would come between what the verbs print: they share a process here.
        with capture_logs():
            yield made[0]
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(30)
        listener.close()
