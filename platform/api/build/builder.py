"""Builds one version: from the sources as they were stored to the objects a worker loads."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cloudserve.api.build import toolchain
from cloudserve.api.build.bundle import bundle_node, inspect_python
from cloudserve.api.build.detect import Detected
from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.tools import Output
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.ids import new_id
from cloudserve.core.models.function import Build, Version
from cloudserve.core.objects.abc import Corrupt, Missing, Objects
from cloudserve.core.store.abc import Store
from cloudserve.core.trees import pack_tree, unpack_tree


def source_key(function_id: str, number: int) -> str:
    """Returns the key of a version's sources."""
    return f"{function_id}/src/{number}/source.tar.gz"


def bundle_key(function_id: str, number: int) -> str:
    """Returns the key of a version's bundle."""
    return f"{function_id}/bundle/{number}/bundle.tar.gz"


@dataclass(frozen=True, slots=True)
class _Made:
    """The folder of a finished bundle, the file in it that is loaded, and the dependencies it needs beside it."""

    folder: Path
    entry: str


class Builder:
    """Builds versions in folders of its own, which it removes. Builds may run at once."""

    def __init__(self, settings: Settings, store: Store, objects: Objects) -> None:
        folder = DataFolder(settings.data_dir)
        self._work = folder.work / "builds"
        self._settings = settings
        self._store = store
        self._objects = objects

    async def start(self) -> None:
        """Removes what builds that were cut off left behind."""
        await asyncio.to_thread(shutil.rmtree, self._work, ignore_errors=True)
        await asyncio.to_thread(self._work.mkdir, parents=True)

    async def build(self, build: Build, output: Output) -> Version:
        """Makes the objects of a build and returns its version, which is not stored yet. Raises `BuildFailed`."""
        async with self._folder(build) as folder:
            source = await self._source(build, folder)
            made = await (self._node if build.spec.runtime == "node" else self._python)(build, source, output)
            archive = folder / "bundle.tar.gz"
            await asyncio.to_thread(pack_tree, made.folder, archive)
            stored = await self._objects.put(bundle_key(build.function_id, build.number), archive)
            return Version(
                function_id=build.function_id,
                owner_id=build.owner_id,
                number=build.number,
                spec=build.spec,
                source_path=build.source_path,
                source_hash=build.source_hash,
                bundle_path=stored.key,
                bundle_hash=stored.sha256,
                bundle_entry=made.entry,
                created_by=build.created_by,
            )

    async def check(self, source: Path, detected: Detected) -> None:
        """Raises the 422 for dependencies that no build will take. What is wrong with the code is for the build."""

    @asynccontextmanager
    async def _folder(self, build: Build) -> AsyncIterator[Path]:
        folder = self._work / f"{build.id}-{new_id()}"
        await asyncio.to_thread(folder.mkdir)
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _source(self, build: Build, folder: Path) -> Path:
        archive, source = folder / "source.tar.gz", folder / "source"
        try:
            await self._objects.fetch(build.source_path, archive, sha256=build.source_hash)
        except (Missing, Corrupt) as error:
            raise BuildFailed("The sources of this version are lost or damaged. Deploy them again.") from error
        await asyncio.to_thread(unpack_tree, archive, source)
        return source

    async def _node(self, build: Build, source: Path, output: Output) -> _Made:
        try:
            program = await asyncio.to_thread(toolchain.esbuild)
        except toolchain.ToolchainMissing as missing:
            raise BuildFailed(str(missing)) from missing
        target = source.with_name("bundle")
        bundle = await bundle_node(
            program,
            folder=source,
            entry=build.spec.entry,
            target=target,
            timeout=self._settings.build_timeout_seconds,
            packages_external=True,
        )
        return _Made(target, bundle.entry)

    async def _python(self, build: Build, source: Path, output: Output) -> _Made:
        await inspect_python(source, build.spec.entry, timeout=self._settings.build_timeout_seconds)
        return _Made(source, build.spec.entry)
