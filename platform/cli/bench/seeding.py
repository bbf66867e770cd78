"""Puts functions into a data folder without deploying them: rows and objects as a deploy leaves them.

Where deploying is not what is measured, two thousand functions need not be built. Nothing has called them, and no
gateway has seen their files: a first call does all that a first call ever does.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudserve.core.auth.tokens import digest, hint, new_api_key
from cloudserve.core.config import DataFolder
from cloudserve.core.models.function import Function, Limits, Runtime, Version, VersionSpec
from cloudserve.core.models.owner import ApiKey, Owner
from cloudserve.core.objects.abc import ObjectInfo, Objects
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.abc import Store
from cloudserve.core.store.sqlite import SqliteStore
from cloudserve.core.trees import pack_tree

OWNER: Final = "bench"

_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Seed:
    """A function of one file; `layer` is the folder of its dependencies."""

    name: str
    runtime: Runtime
    source: str
    concurrency: int = 1
    layer: Path | None = None
    owner: str = OWNER


def plant(data_dir: Path, seeds: Sequence[Seed]) -> dict[str, str]:
    """Puts functions and their owners into a new data folder; returns, by owner, a key that may call them."""
    return asyncio.run(_plant(DataFolder(data_dir), seeds))


async def _plant(folder: DataFolder, seeds: Sequence[Seed]) -> dict[str, str]:
    store, objects = SqliteStore(folder.database), FilesystemObjects(folder.objects)
    await store.open()
    await objects.open()
    try:
        owners = {name: Owner(name=name, is_verified=True) for name in {seed.owner for seed in seeds}}
        keys = {name: new_api_key() for name in owners}
        for name, owner in owners.items():
            await store.owners.add(owner)
            row = ApiKey(owner_id=owner.id, key_hash=digest(keys[name]), hint=hint(keys[name]), scopes=["invoke"])
            await store.keys.add(row)
        layers = await _put_layers(objects, seeds)
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(seed: Seed) -> None:
            async with turn:
                await _add(store, objects, owners[seed.owner], seed, layers.get(seed.layer))

        await asyncio.gather(*(one(seed) for seed in seeds))
    finally:
        await objects.close()
        await store.close()
    return keys


async def _put_layers(objects: Objects, seeds: Sequence[Seed]) -> dict[Path | None, ObjectInfo]:
    """Stores each layer once, as a deploy does for equal locks."""
    stored: dict[Path | None, ObjectInfo] = {}
    for layer in {seed.layer for seed in seeds if seed.layer is not None}:
        stored[layer] = await _put_tree(objects, layer, f"deps/{layer.name}/layer.tar.gz")
    return stored


async def _add(store: Store, objects: Objects, owner: Owner, seed: Seed, layer: ObjectInfo | None) -> None:
    entry = "index.cjs" if seed.runtime == "node" else "main.py"
    function = Function(
        owner_id=owner.id,
        name=seed.name,
        status="active",
        live_version=1,
        latest_version=1,
        sequence=1,
        live_sequence=1,
    )
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / entry).write_text(seed.source)
        bundle = await _put_tree(objects, Path(scratch), f"{function.id}/bundle/1/bundle.tar.gz")
    version = Version(
        function_id=function.id,
        owner_id=owner.id,
        number=1,
        spec=VersionSpec(
            runtime=seed.runtime,
            language="python" if seed.runtime == "python" else "javascript",
            entry=entry,
            limits=Limits(concurrency=seed.concurrency),
        ),
        source_path=bundle.key,
        source_hash=bundle.sha256,
        bundle_path=bundle.key,
        bundle_hash=bundle.sha256,
        bundle_entry=entry,
        layer_path=layer and layer.key,
        layer_hash=layer and layer.sha256,
        created_by=owner.id,
    )
    await store.functions.add(function)
    await store.versions.add(version)


async def _put_tree(objects: Objects, tree: Path, key: str) -> ObjectInfo:
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp))
    try:
        archive = folder / "tree.tar.gz"
        await asyncio.to_thread(pack_tree, tree, archive)
        return await objects.put(key, archive)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)
