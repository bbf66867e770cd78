"""Whatever a request is, the control plane answers as its OpenAPI document says: schemathesis makes them up from it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from cloudserve.api.service import ApiService
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.tokens import digest, new_api_key
from cloudserve.core.config import Settings
from cloudserve.core.mail import NoMail
from cloudserve.core.models.owner import ALL_SCOPES, ApiKey, Owner
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.sqlite import SqliteStore
from tests.unit.api.support import running


class Server(uvicorn.Server):
    """uvicorn's server, which tells when it listens."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen."""
        await super().startup(sockets)
        self._ready.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"


class Served:
    """A control plane on a port of loopback, in a thread with a loop of its own, and an administrator's key to it."""

    def __init__(self, folder: Path) -> None:
        self.key = new_api_key()
        self.url = ""
        self._folder = folder
        self._ready = threading.Event()
        self._server: Server
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        """Returns when it answers."""
        self._thread.start()
        assert self._ready.wait(30)
        self.url = self._server.url

    def stop(self) -> None:
        """Returns when nothing of it is left."""
        self._server.should_exit = True
        self._thread.join()

    async def _serve(self) -> None:
        async with running(self._folder) as platform:
            owner = Owner(name="ada", email="ada@example.com", is_verified=True, is_admin=True)
            await platform.store.owners.add(owner)
            key = ApiKey(owner_id=owner.id, key_hash=digest(self.key), hint="hint", scopes=list(ALL_SCOPES))
            await platform.store.keys.add(key)
            config = uvicorn.Config(platform.app, port=0, log_config=None, access_log=False, lifespan="off", ws="none")
            self._server = Server(config, self._ready)
            await self._server.serve()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A control plane that all requests of this module go to."""
    made = Served(tmp_path_factory.mktemp("served"))
    made.start()
    yield made
    made.stop()


def document() -> dict[str, Any]:
    """Returns the OpenAPI document; nothing needs to run for it."""
    nowhere = Path("nowhere")
    service = ApiService(
        settings=Settings(data_dir=nowhere),
        store=SqliteStore(nowhere / "cloudserve.db"),
        objects=FilesystemObjects(nowhere / "objects"),
        mailer=NoMail(),
        credentials=Credentials(secrets_key=bytes(32), machine_key="none"),
        sandbox_status=dict,
    )
    return service.app.openapi()


CONFIG = {
    "seed": 3,
    "checks": {
        "positive_data_acceptance": {"enabled": False},  # what has the right form may be wrong, as a name that is taken
        "ignored_auth": {"enabled": False},  # it can't take away the key we send; `unit/api/test_isolation.py` holds it
    },
}

schema = schemathesis.openapi.from_dict(document(), config=SchemathesisConfig.from_dict(CONFIG))


@schema.parametrize()
@settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_the_document_says(case: schemathesis.Case, served: Served) -> None:
    """No status, media type or form that is not in it; nothing forbidden is taken; no request breaks the server."""
    case.call_and_validate(base_url=served.url, headers={"authorization": f"Bearer {served.key}"})
