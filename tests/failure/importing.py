"""An import as a process of its own, to be killed: `python -m tests.failure.importing DATA_DIR KEY_HEX FILE`.

Each line tells of a step that has been done.
"""

import asyncio
import sys
from pathlib import Path

from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.sqlite import SqliteStore
from cloudserve.core.transfer.exported import ExportFile
from cloudserve.core.transfer.home import Home, Phase
from cloudserve.core.transfer.importing import import_
from tests.homes import PASSPHRASE


async def main(folder: Path, key: bytes, file: Path) -> None:
    """Imports the file into the home in the folder."""
    store, objects = SqliteStore(folder / "cloudserve.db"), FilesystemObjects(folder / "objects")
    await store.open()
    await objects.open()
    exported = ExportFile.open(file, passphrase=PASSPHRASE, on_progress=_tell)
    await import_(Home(store, objects, Sealer(key)), exported, on_progress=_tell)
    await store.close()


def _tell(phase: Phase, done: int, _total: int | None) -> None:
    print(phase, done, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), Path(sys.argv[3])))
