"""Homes for the tests of export and import: filled, and told apart by all that is in them."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.models.function import Function, Version
from cloudserve.core.models.owner import Owner
from cloudserve.core.objects.abc import Objects
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.abc import Store
from cloudserve.core.store.sqlite import SqliteStore
from cloudserve.core.transfer.exported import ExportFile
from cloudserve.core.transfer.exporting import export
from cloudserve.core.transfer.home import Home
from cloudserve.core.transfer.importing import Imported, import_
from tests.contract.records import (
    HOUR,
    NOW,
    a_build,
    a_function,
    a_key,
    a_log,
    a_secret,
    a_usage,
    a_version,
    an_owner,
)

PASSPHRASE: Final = "correct horse battery"
SECRET: Final = "s3cret välue"


def a_home(store: Store, objects: Objects) -> Home:
    """Returns a home over open stores, with a secrets key of its own."""
    return Home(store, objects, Sealer(os.urandom(32)))


@asynccontextmanager
async def local_home(folder: Path) -> AsyncIterator[Home]:
    """Opens the home in a folder, with a fresh secrets key."""
    store, objects = SqliteStore(folder / "cloudserve.db"), FilesystemObjects(folder / "objects")
    await store.open()
    await objects.open()
    yield a_home(store, objects)
    await objects.close()
    await store.close()


async def written(home: Home, file: Path, *, history: bool = True) -> Path:
    """Exports a home and returns the file."""
    await export(home, file, passphrase=PASSPHRASE, history=history)
    return file


async def imported(home: Home, file: Path, **options: Any) -> Imported:
    """Imports a file."""
    exported = ExportFile.open(file, passphrase=PASSPHRASE)
    try:
        return await import_(home, exported, **options)
    finally:
        exported.close()


async def put_version(home: Home, function: Function, number: int = 1, **values: Any) -> Version:
    """Adds a version and its objects."""
    paths = {name: f"{function.id}/{name}/{number}/{name}.tar.gz" for name in ("source", "bundle")} | {
        "layer": f"deps/{'d' * 64}/layer.tar.gz"
    }
    for name, path in paths.items():
        content = f"{name} {'' if name == 'layer' else number}".encode() * 1_000
        values |= {f"{name}_path": path, f"{name}_hash": (await home.objects.put(path, content)).sha256}
    version = a_version(function, number, dep_hash="d" * 64, lock="{}\n", **values)
    await home.store.versions.add(version)
    return version


async def put_secret(home: Home, function: Function, name: str = "TOKEN", value: str = SECRET) -> None:
    """Sets a secret, sealed as the API does."""
    sealed = home.sealer.seal(value, context=f"{function.id}/{name}")
    await home.store.secrets.put(a_secret(function, name, ciphertext=sealed))


async def put_function(home: Home, owner: Owner, name: str | None = None, *, versions: int = 2) -> Function:
    """Adds a function as it is after some deploys: versions, builds, a secret and calls; the last version is live."""
    function = a_function(owner.id, name)
    await home.store.functions.add(function)
    for number in range(1, versions + 1):
        version = await put_version(home, function, number)
        taken = await home.store.functions.next_version(owner.id, function.id)
        assert taken is not None
        source = {"source_path": version.source_path, "source_hash": version.source_hash}
        await home.store.builds.add(a_build(function, number, status="active", output="done\n", **source))
        await home.store.functions.go_live(owner.id, function.id, number=number, sequence=taken[1], at=NOW)
        await home.store.functions.set_status(owner.id, function.id, "active", sequence=taken[1])
    await put_secret(home, function)
    await home.store.usages.record([a_usage(function, duration=1 / 3 + i, key_id="k") for i in range(7)])
    await home.store.logs.record([a_log(function, error="boom", status="error", cold_start={"load": None})])
    found = await home.store.functions.get(owner.id, function.id)
    assert found is not None
    return found


async def fill(home: Home) -> tuple[Owner, Function]:
    """Adds some of everything; returns one of the owners, and a function of hers that is live."""
    ann = an_owner(
        "ann",
        full_name="Ann Öberg",
        email="Ann@Example.org",
        password_hash="$argon2id$hash",
        google_subject="1234",
        is_admin=True,
        password_changed_at=NOW - HOUR,
    )
    team = an_owner("makers", kind="team")
    for owner in (ann, team):
        await home.store.owners.add(owner)
        await home.store.keys.replace_default(a_key(owner.id, kind="default"))
        await home.store.keys.add(a_key(owner.id, scopes=["read", "deploy"], expires_at=NOW, last_used_at=NOW))
    function = await put_function(home, ann, "hello")
    await put_function(home, team, "hello", versions=1)
    await home.store.functions.add(a_function(team.id, "never-deployed", status="failed", deploy_error="no"))
    return ann, function


async def content(home: Home, *, history: bool = True) -> dict[str, Any]:
    """Returns all that an export carries of a home, secrets opened."""
    store = home.store
    found: dict[str, Any] = {"owners": [], "objects": {}}
    async for info in home.objects.list():
        found["objects"][info.key] = info.sha256
    for owner in await _owners(store):
        functions = []
        for function in await store.functions.list(owner.id):
            ids = (owner.id, function.id)
            parts = {
                "function": function,
                "versions": list(await store.versions.list(*ids)),
                "builds": list(await store.builds.list(*ids, limit=1_000)),
                "secrets": [
                    (
                        secret.model_copy(update={"ciphertext": b""}),
                        home.sealer.open(secret.ciphertext, context=f"{function.id}/{secret.name}"),
                    )
                    for secret in await store.secrets.list(*ids)
                ],
            }
            if history:
                parts["usages"] = list((await store.usages.list(*ids, limit=10_000)).rows)
                parts["logs"] = list((await store.logs.list(*ids, limit=10_000)).rows)
            functions.append(parts)
        found["owners"].append({"owner": owner, "keys": list(await store.keys.list(owner.id)), "functions": functions})
    return found


async def is_empty(home: Home) -> bool:
    """Tells whether nothing was ever added to a home."""
    objects = [info async for info in home.objects.list()]
    return not objects and not await _owners(home.store) and await home.store.last_change() == 0


async def _owners(store: Store) -> Sequence[Owner]:
    return (await store.owners.list(limit=10_000)).rows
