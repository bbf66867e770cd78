"""Deploys as the API asks for them, over a real store and folder, with the real tools."""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cloudserve.api.build.request import ArchiveUpload, DeployChanges, DeployRequest, SingleFile, Upload
from cloudserve.api.build.worker import OnLive
from cloudserve.api.deployments import Deployments
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.confine.tiers import Protection, detect
from cloudserve.core.models.function import Build, Function, Version
from cloudserve.core.models.owner import Owner
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.sqlite import SqliteStore


def archive(**files: str) -> ArchiveUpload:
    """Packs files; in their names `__` stands for a dot and `_SLASH_` for a slash."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", ".").replace("_SLASH_", "/"))
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))
    return ArchiveUpload("upload.tar.gz", buffer.getvalue())


class Deploying:
    """One platform's deployments and what they work on."""

    def __init__(
        self, deployments: Deployments, settings: Settings, store: SqliteStore, objects: FilesystemObjects
    ) -> None:
        self.deployments = deployments
        self.settings = settings
        self.store = store
        self.objects = objects
        self.owner = Owner(name="ada")

    async def ask(self, name: str, upload: Upload | str, **values: Any) -> tuple[Function, Build]:
        """Asks for a new function; text is the code of a JavaScript file."""
        upload = SingleFile("index.js", upload) if isinstance(upload, str) else upload
        return await self.deployments.deploy(self.owner, DeployRequest(name, upload, **values), created_by="key")

    async def deploy(self, name: str, upload: Upload | str, **values: Any) -> tuple[Function, Build]:
        """Makes a new function and waits for its build."""
        return await self.done(*await self.ask(name, upload, **values))

    async def redeploy(self, function: Function, **changes: Any) -> tuple[Function, Build]:
        """Makes a new version and waits for its build."""
        upload = changes.get("upload")
        if isinstance(upload, str):
            changes["upload"] = SingleFile("index.js", upload)
        asked = await self.deployments.redeploy(self.owner, function, DeployChanges(**changes), created_by="key")
        return await self.done(*asked)

    async def done(self, function: Function, build: Build) -> tuple[Function, Build]:
        """Returns both as they are when the build has ended."""
        async with asyncio.timeout(120):
            while build.finished_at is None:
                await asyncio.sleep(0.01)
                found = await self.store.builds.get(self.owner.id, build.id)
                assert found is not None
                build = found
        again = await self.store.functions.get(self.owner.id, function.id)
        assert again is not None
        return again, build

    async def version(self, function: Function, number: int | None = None) -> Version:
        """Returns a version, by default the live one."""
        wanted = number or function.live_version
        assert wanted is not None
        version = await self.store.versions.get(self.owner.id, function.id, wanted)
        assert version is not None
        return version

    async def keys(self) -> set[str]:
        """Returns the keys of all objects."""
        return {info.key async for info in self.objects.list()}

    async def files(self, key: str) -> dict[str, bytes]:
        """Returns the files of an object."""
        content = io.BytesIO(await self.objects.read(key))
        with tarfile.open(fileobj=content, mode="r:gz") as tar:
            return {m.name: file.read() for m in tar if (file := tar.extractfile(m)) is not None}


@asynccontextmanager
async def deploying(
    folder: Path, *, on_live: OnLive | None = None, protection: Protection | None = None, **settings: Any
) -> AsyncIterator[Deploying]:
    """Deployments at work over what is in `folder`, with an owner `ada`."""
    values = Settings(data_dir=folder, **settings)
    data = DataFolder(folder)
    store, objects = SqliteStore(data.database), FilesystemObjects(data.objects)
    await store.open()
    await objects.open()
    deployments = Deployments(values, store, objects, on_live=on_live, protection=protection or detect())
    one = Deploying(deployments, values, store, objects)
    known = await store.owners.by_name(one.owner.name)
    if known is None:
        await store.owners.add(one.owner)
    else:
        one.owner = known
    await deployments.start()
    try:
        yield one
    finally:
        await deployments.close()
        await store.close()
        await objects.close()
