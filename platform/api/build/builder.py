"""Builds one version: from the sources as they were stored to the objects a worker loads."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cloudserve.api.build import dependencies_node, dependencies_python, toolchain
from cloudserve.api.build.bundle import NodeBundle, bundle_node, inspect_python
from cloudserve.api.build.dependencies_node import NodeDependencies
from cloudserve.api.build.dependencies_python import PythonDependencies
from cloudserve.api.build.detect import Detected
from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.homes import Homes
from cloudserve.api.build.installed_tree import MODULES, InstalledTree
from cloudserve.api.build.jail import Jail
from cloudserve.api.build.keeper import Keeper
from cloudserve.api.build.layers import Layers
from cloudserve.api.build.manifest_node import read_package_json
from cloudserve.api.build.manifest_python import read_requirements
from cloudserve.api.build.registries import Registries
from cloudserve.api.build.tools import Output
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.errors import FieldError, Problem, invalid
from cloudserve.core.ids import new_id
from cloudserve.core.models.function import Build, Version
from cloudserve.core.objects.abc import Corrupt, Missing, ObjectInfo, Objects
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
    """A finished bundle: its folder, the file in it that is loaded, and the dependencies."""

    folder: Path
    entry: str
    lock: str | None = None
    dep_hash: str | None = None
    layer: ObjectInfo | None = None


class Builder:
    """Builds versions in folders of its own, which it removes. Builds may run at once."""

    def __init__(self, settings: Settings, store: Store, objects: Objects, protection: Protection) -> None:
        folder = DataFolder(settings.data_dir)
        home = folder.cache / "build"
        registries = Registries(home)
        self._work = folder.work / "builds"
        self._settings = settings
        self._store = store
        self._objects = objects
        self._npm = NodeDependencies(home / "node", registries)
        self._pip = PythonDependencies(registries)
        self._homes = Homes(home / "homes")
        self._jail = Jail(protection, self._homes.folder, Keeper())
        self._layers = Layers(objects, drafts=folder.work / "layers", locks=home / "locks")

    async def start(self) -> None:
        """Makes its folders."""
        await self._layers.start()
        await asyncio.to_thread(self._work.mkdir, parents=True, exist_ok=True)
        await self._homes.sweep()
        if self._jail.protection.tier != "none":
            await self._jail.keeper.start()

    async def close(self) -> None:
        """Ends what it keeps for running tools; after all builds have ended."""
        await self._jail.keeper.close()

    async def check(self, source: Path, detected: Detected) -> None:
        """Raises the 422 for dependencies that no build will take. What is wrong with the code is for the build."""
        most = self._settings.max_dependencies
        read = read_package_json if detected.runtime == "node" else read_requirements
        asked = len(await asyncio.to_thread(read, source))
        if asked == 0 and await asyncio.to_thread(_most_imports, source, detected.runtime) > most:
            async with asyncio.timeout(self._settings.build_timeout_seconds):
                asked = await self._count_imports(source, detected)
        if asked > most:
            message = f"The function has {asked} dependencies; {most} are allowed."
            raise invalid(FieldError("dependencies", message, most, "Remove those that it does not need."))

    async def build(self, build: Build, output: Output) -> Version:
        """Makes the objects of a build and returns its version, which is not stored yet. Raises `BuildFailed`."""
        seconds = self._settings.build_timeout_seconds
        try:
            async with (
                asyncio.timeout(seconds),
                self._homes.in_use(build.owner_id),
                self._folder(build) as folder,
            ):
                return await self._build(build, folder, output)
        except TimeoutError:
            raise BuildFailed(f"The build was stopped: it did not finish within {seconds} seconds.") from None
        except Problem as problem:
            raise BuildFailed(problem.message) from problem

    async def _build(self, build: Build, folder: Path, output: Output) -> Version:
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
            layer_path=made.layer and made.layer.key,
            layer_hash=made.layer and made.layer.sha256,
            dep_hash=made.dep_hash,
            lock=made.lock,
            created_by=build.created_by,
        )

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

    async def _locks(self, build: Build) -> list[str]:
        """Returns the locks of earlier versions, newest first."""
        versions = await self._store.versions.list(build.owner_id, build.function_id)
        return [version.lock for version in versions if version.lock is not None]

    async def _node(self, build: Build, source: Path, output: Output) -> _Made:
        program, target, entry = await _esbuild(), source.with_name("bundle"), build.spec.entry
        jail = self._jail.for_owner(build.owner_id)
        asked = await asyncio.to_thread(read_package_json, source)
        if not asked:
            # What the code imports is what it needs; without any package this is the bundle.
            first = await bundle_node(
                program, jail=jail, folder=source, entry=entry, target=target, packages_external=True
            )
            if not first.packages:
                return _Made(target, first.entry)
            # Of any version, npm chooses the newest that runs on this Node.js; of `latest` it would not ask.
            asked = dict.fromkeys(first.packages, "*")
            await asyncio.to_thread(shutil.rmtree, target)
        scratch = source.with_name("lock")
        await asyncio.to_thread(scratch.mkdir)
        lock = dependencies_node.find_lock(asked, await self._locks(build)) or await self._npm.lock(
            asked, scratch, output, jail=jail
        )
        modules = await self._npm.install(lock, output, jail=jail)
        await asyncio.to_thread((source / MODULES).symlink_to, modules)
        tree = InstalledTree(lock, modules)
        external = await asyncio.to_thread(tree.native)
        bundle = await bundle_node(program, jail=jail, folder=source, entry=entry, target=target, external=external)
        if bundle.self_reading:
            await asyncio.to_thread(shutil.rmtree, target)
            external |= bundle.self_reading
            bundle = await bundle_node(program, jail=jail, folder=source, entry=entry, target=target, external=external)
        return await self._node_layer(bundle, target, lock, tree, jail)

    async def _node_layer(self, bundle: NodeBundle, target: Path, lock: str, tree: InstalledTree, jail: Jail) -> _Made:
        """Adds the layer of the packages that are not in the bundle, if there are any."""
        abi = await self._npm.abi(jail)
        needed = [name for name in bundle.packages if tree.has(name)]
        for name in needed:
            if tree.lacks_build(name):
                raise BuildFailed(
                    f"The package `{name}` has native code that an install script would have to build, and install "
                    "scripts are never run. Choose a package that comes with its programs, or one in JavaScript."
                )
        paths = tree.closure(needed)
        name = tree.dep_hash(paths or tree.closure(tree.roots), abi)
        if not paths:
            return _Made(target, bundle.entry, lock, name)

        async def make(folder: Path) -> None:
            await asyncio.to_thread(tree.copy, paths, folder)

        return _Made(target, bundle.entry, lock, name, await self._layers.ensure(name, make))

    async def _python(self, build: Build, source: Path, output: Output) -> _Made:
        entry = build.spec.entry
        asked = await asyncio.to_thread(read_requirements, source)
        jail = self._jail.for_owner(build.owner_id)
        imported = await inspect_python(source, entry, jail=jail)
        asked = asked or imported
        if not asked:
            return _Made(source, entry)
        scratch = source.with_name("lock")
        await asyncio.to_thread(scratch.mkdir)
        lock = dependencies_python.find_lock(asked, await self._locks(build)) or await self._pip.lock(
            asked, scratch, output, jail=jail
        )

        async def make(folder: Path) -> None:
            await self._pip.install(lock, folder, output, jail=jail)

        name = dependencies_python.dep_hash_of(lock)
        return _Made(source, entry, lock, name, await self._layers.ensure(name, make))

    async def _count_imports(self, source: Path, detected: Detected) -> int:
        """Counts the dependencies that the code imports; 0 when it can't be read, which the build will say."""
        try:
            if detected.runtime == "python":
                return len(await inspect_python(source, detected.entry, jail=self._jail))
            target = source.with_name("imports")
            bundle = await bundle_node(
                await _esbuild(),
                jail=self._jail,
                folder=source,
                entry=detected.entry,
                target=target,
                packages_external=True,
            )
            return len(bundle.packages)
        except BuildFailed:
            return 0


async def _esbuild() -> Path:
    try:
        return await asyncio.to_thread(toolchain.esbuild)
    except toolchain.ToolchainMissing as missing:
        raise BuildFailed(str(missing)) from missing


def _most_imports(source: Path, runtime: str) -> int:
    """Returns how many imports the sources have at most: a quick bound, by their text alone."""
    words = (b"import", b"require", b"from") if runtime == "node" else (b"import", b",")
    contents = (path.read_bytes() for path in source.rglob("*") if path.is_file())
    return sum(content.count(word) for content in contents for word in words)
