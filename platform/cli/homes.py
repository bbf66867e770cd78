"""The home that `export` reads and `import` fills: the stores of a platform, opened without the platform.

They are where the platform's own processes look for them (`core.connections`): at the servers that the environment
names, or else in the data folder.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from cloudserve.cli import folders
from cloudserve.cli.output import CommandError
from cloudserve.cli.services.faults import BAD_SETTINGS, faults_of
from cloudserve.cli.services.settings import ServiceSettings
from cloudserve.cli.stack_file import setting
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.connections import Connections
from cloudserve.core.opening import objects_of, store_of
from cloudserve.core.transfer.home import Home

MARK: Final = ".cloudserve"
"""The file by which the infrastructure program takes a folder for one of its own."""

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", envvar="CLOUDSERVE_DATA_DIR", help="The platform's data folder; by default that of the stack."
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a platform's stores are, and what opens them and its secrets."""

    folder: DataFolder
    connections: Connections
    service: ServiceSettings
    settings: Settings

    @classmethod
    def find(cls, data_dir: Path | None, stack: str) -> "Place":
        """Returns the place of the folder that was named, or of the stack's. Raises `CommandError` for bad settings."""
        folder = DataFolder(data_dir or Path(setting(stack, "dataDir") or folders.data_home() / stack))
        started_with = folder.run / "settings.json"
        try:
            place = cls(
                folder,
                Connections.load(),
                ServiceSettings.load(),
                Settings.load(started_with if started_with.exists() else None, data_dir=folder.root),
            )
        except ValidationError as error:
            raise _unusable([str(fault) for fault in faults_of(error)]) from None
        if place._has_servers and not place.service.secrets_key.get_secret_value():
            remedy = "set it, or mount it as a file, as for the api and the gateways."
            raise _unusable([f"CLOUDSERVE_SECRETS_KEY: is missing beside CLOUDSERVE_STORE_URL. Remedy: {remedy}"])
        return place

    @property
    def title(self) -> str:
        """What it is called to a person, without what opens it."""
        return f"the database {self.connections.store_database}" if self._has_servers else str(self.folder.root)

    @property
    def is_new(self) -> bool:
        """Tells whether no platform has ever been in the folder; what servers hold, only they know."""
        return not self._has_servers and not self.folder.database.exists()

    def require_platform(self) -> None:
        """Raises `CommandError` where no platform has ever been."""
        if self.is_new:
            raise CommandError(
                f"There is no platform in {self.folder.root}. Remedy: name its data folder with --data-dir, or its "
                "stack with --stack.",
                reason="no-platform",
            )

    def make_folder(self) -> None:
        """Makes the folder where there is none, so that a platform can begin with what is imported into it."""
        if not self.is_new:
            return
        root = self.folder.root
        if root.exists() and not (root / MARK).exists() and any(root.iterdir()):
            raise CommandError(
                f"{root} is not empty, and is no data folder of CloudServe. Remedy: name another with --data-dir.",
                reason="no-data-folder",
            )
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (root / MARK).touch(mode=0o600)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Home]:
        """Opens the stores, whether or not the platform runs. Raises `StoreError`, `ObjectsError` or OSError."""
        async with AsyncExitStack() as opened:
            store, objects = store_of(self.connections, self.folder), objects_of(self.connections, self.folder)
            opened.push_async_callback(store.close)
            await store.open()
            opened.push_async_callback(objects.close)
            await objects.open()
            yield Home(store, objects, Sealer(self._secrets_key()), self.settings.model_dump())

    @property
    def _has_servers(self) -> bool:
        return bool(self.connections.store_url.get_secret_value())

    def _secrets_key(self) -> bytes:
        given = self.service.secrets_key.get_secret_value()
        return (
            base64.urlsafe_b64decode(given)
            if given
            else Credentials.load_or_create(self.folder.credentials).secrets_key
        )


def _unusable(faults: list[str]) -> CommandError:
    return CommandError(
        f"The platform's settings can't be used: {' '.join(faults)}", reason="settings", exit_code=BAD_SETTINGS
    )
