"""The home that `export` reads and `import` fills: the data folder of a platform, opened without the platform."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloudserve.cli import folders
from cloudserve.cli.output import CommandError
from cloudserve.cli.stack_file import setting
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.config import DataFolder
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.sqlite import SqliteStore
from cloudserve.core.transfer.home import Home

MARK: Final = ".cloudserve"
"""The file by which the infrastructure program takes a folder for one of its own."""

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", envvar="CLOUDSERVE_DATA_DIR", help="The platform's data folder; by default that of the stack."
    ),
]


def data_folder(data_dir: Path | None, stack: str) -> DataFolder:
    """Returns the folder that was named, or else the one that the stack's settings say."""
    return DataFolder(data_dir or Path(setting(stack, "dataDir") or folders.data_home() / stack))


def require_platform(folder: DataFolder) -> None:
    """Raises `CommandError` where no platform has ever been."""
    if not folder.database.exists():
        raise CommandError(
            f"There is no platform in {folder.root}. Remedy: name its data folder with --data-dir, or its stack with "
            "--stack.",
            reason="no-platform",
        )


def make_platform_folder(folder: DataFolder) -> None:
    """Makes the folder where there is none, so that a platform can begin with what is imported into it."""
    if folder.database.exists():
        return
    if folder.root.exists() and not (folder.root / MARK).exists() and any(folder.root.iterdir()):
        raise CommandError(
            f"{folder.root} is not empty, and is no data folder of CloudServe. Remedy: name another with --data-dir.",
            reason="no-data-folder",
        )
    folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder.root / MARK).touch(mode=0o600)


@asynccontextmanager
async def opened_home(folder: DataFolder) -> AsyncIterator[Home]:
    """Opens the stores of a platform, whether or not it runs. Raises `StoreError`, `ObjectsError` or OSError."""
    async with AsyncExitStack() as opened:
        store = SqliteStore(folder.database)
        await store.open()
        opened.push_async_callback(store.close)
        objects = FilesystemObjects(folder.objects)
        await objects.open()
        opened.push_async_callback(objects.close)
        sealer = Sealer(Credentials.load_or_create(folder.credentials).secrets_key)
        yield Home(store, objects, sealer, _settings(folder))


def _settings(folder: DataFolder) -> dict[str, Any]:
    """Returns what the platform was started with last; nothing before its first start."""
    try:
        settings: dict[str, Any] = json.loads((folder.run / "settings.json").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return settings
