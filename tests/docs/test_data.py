"""docs/data.md tells the truth: it names what the data folder holds, and its backup can be restored."""

import asyncio
import re
import subprocess
from pathlib import Path

from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.retention import GRACE, INTERVAL
from cloudserve.core.store.sqlite import SqliteStore
from tests.contract.records import a_function, a_version, an_owner

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def test_the_page_names_everything_in_the_data_folder() -> None:
    """And nothing that is not there."""
    root = Path("root")
    places = {path.relative_to(root).parts[0] for path in vars(DataFolder(root)).values() if path != root}
    assert set(re.findall(r"^\| `([\w.]+)/?` \|", PAGE, re.MULTILINE)) == places


def test_the_page_tells_how_long_things_are_kept() -> None:
    """With the defaults that the code has."""
    assert f"`retention_days` ({Settings.model_fields['retention_days'].default})" in PAGE
    assert (INTERVAL.total_seconds(), GRACE.days) == (3600, 1)
    assert "within an hour, but not before they are a day old" in PAGE


async def test_a_backup_made_while_the_platform_runs_can_be_restored(tmp_path: Path) -> None:
    """By the very commands of the page, with a database that is open and being written."""
    folder = DataFolder(tmp_path)
    await asyncio.to_thread((tmp_path / "backup").mkdir)
    await asyncio.to_thread(folder.credentials.mkdir)
    store, objects = SqliteStore(folder.database), FilesystemObjects(folder.objects)
    await store.open()
    await objects.open()
    owner = an_owner("ann")
    await store.owners.add(owner)
    function = a_function(owner.id)
    await store.functions.add(function)
    version = a_version(function)
    for key in (version.source_path, version.bundle_path):
        await objects.put(key, b"content")
    await store.versions.add(version)
    commands = "\n".join(re.findall(r"^    (.+)$", PAGE.partition("## Backup")[2], re.MULTILINE))
    backup = asyncio.to_thread(subprocess.run, ["/bin/sh", "-ec", commands], cwd=tmp_path, check=True)
    writing = asyncio.gather(*(store.owners.add(an_owner()) for _ in range(100)))
    await asyncio.gather(backup, writing)
    await objects.close()
    await store.close()

    saved = DataFolder(tmp_path / "backup")
    restored, its_objects = SqliteStore(saved.database), FilesystemObjects(saved.objects)
    await restored.open()
    await its_objects.open()
    assert await restored.owners.by_name("ann") == owner
    assert await restored.versions.list(owner.id, function.id) == [version]
    assert {info.key async for info in its_objects.list()} == await restored.versions.referenced_objects()
    assert await its_objects.read(version.bundle_path) == b"content"
    await its_objects.close()
    await restored.close()
