"""A function answers wherever its home was moved to, with its secret and its key."""

import hashlib
from pathlib import Path

import httpx2

from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.auth.tokens import digest, new_api_key
from cloudserve.core.config import Settings
from cloudserve.core.confine.tiers import detect
from cloudserve.core.models.function import VersionSpec
from cloudserve.core.objects.abc import Objects
from cloudserve.core.store.abc import Store
from cloudserve.core.transfer.home import Home
from cloudserve.core.trees import pack_tree
from cloudserve.gateway.service import GatewayService
from cloudserve.sandbox.pool import LocalSandbox
from tests.contract.records import NOW, a_function, a_key, a_version, an_owner
from tests.homes import SECRET, imported, local_home, put_secret, written
from tests.unit.gateway.support import serving

MEBIBYTE = 1024 * 1024
SOURCE = """
import os

def handler(context):
    return os.environ["TOKEN"] + " " + os.environ["GREETING"]
"""


async def _deploy(home: Home, folder: Path, key: str) -> None:
    """Adds ann/hello, live, and a key for it."""
    owner = an_owner("ann")
    await home.store.owners.add(owner)
    await home.store.keys.add(a_key(owner.id, key_hash=digest(key)))
    function = a_function(owner.id, "hello")
    await home.store.functions.add(function)
    (folder / "tree").mkdir()
    (folder / "tree" / "main.py").write_text(SOURCE)
    archive = folder / "bundle.tar.gz"
    pack_tree(folder / "tree", archive)
    paths = {name: f"{function.id}/{name}/1/{name}.tar.gz" for name in ("source", "bundle")}
    for path in paths.values():
        await home.objects.put(path, archive)
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    spec = VersionSpec(runtime="python", language="python", entry="main.py", environment={"GREETING": "hello"})
    version = a_version(
        function,
        spec=spec,
        source_path=paths["source"],
        source_hash=sha256,
        bundle_path=paths["bundle"],
        bundle_hash=sha256,
        bundle_entry="main.py",
    )
    await home.store.functions.next_version(owner.id, function.id)
    await home.store.versions.add(version)
    await home.store.functions.go_live(owner.id, function.id, number=1, sequence=1, at=NOW)
    await put_secret(home, function)


async def _answer(home: Home, secrets_key: bytes, folder: Path, key: str) -> tuple[int, str]:
    """Calls the function on a gateway over the home."""
    sandbox = LocalSandbox(
        work_dir=folder / "work",
        max_workers=1,
        idle_seconds=60,
        queue_seconds=10,
        max_response_bytes=MEBIBYTE,
        protection=detect(),
    )
    await sandbox.start()
    gateway = GatewayService(
        settings=Settings.load(data_dir=folder),
        store=home.store,
        objects=home.objects,
        credentials=Credentials(secrets_key=secrets_key, machine_key=""),
        sandbox=sandbox,
    )
    await gateway.start()
    try:
        async with (
            serving(gateway.app) as port,
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as functions,
        ):
            answer = await functions.get("/run/ann/hello", headers={"api-key": key})
            return answer.status_code, answer.text
    finally:
        await gateway.close()
        await sandbox.close(grace_seconds=1)


async def test_a_function_answers_there_and_back(store: Store, objects: Objects, tmp_path: Path) -> None:
    """From a folder to any stores and into another folder, each with a secrets key of its own."""
    key = new_api_key()
    for name in ("origin", "there", "back"):
        (tmp_path / name).mkdir()
    there_key, back_key = b"t" * 32, b"b" * 32
    async with local_home(tmp_path / "origin") as origin:
        await _deploy(origin, tmp_path, key)
        file = await written(origin, tmp_path / "origin.tar")
    there = Home(store, objects, Sealer(there_key))
    await imported(there, file)
    assert await _answer(there, there_key, tmp_path / "there", key) == (200, f"{SECRET} hello")
    file = await written(there, tmp_path / "there.tar")
    async with local_home(tmp_path / "back") as opened:
        back = Home(opened.store, opened.objects, Sealer(back_key))
        await imported(back, file)
        assert await _answer(back, back_key, tmp_path / "back", key) == (200, f"{SECRET} hello")
