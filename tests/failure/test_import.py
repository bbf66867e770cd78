"""An import that is killed anywhere is run again and completes, with nothing twice."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.transfer.home import Home
from tests.contract.records import an_owner
from tests.homes import content, fill, imported, local_home, put_function, written

ROOT = Path(__file__).parents[2]


def _killed_at(phase: str, times: int, *words: str) -> bool:
    """Runs an import and kills it when it has told of a phase so many times; False when it has ended before."""
    command = [sys.executable, "-m", "tests.failure.importing", *words]
    environment = {"PYTHONPATH": f"{ROOT / '.src'}:{ROOT}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            times -= line.startswith(phase)
            if times == 0:
                process.kill()
                return True
    return False


async def test_an_import_that_is_killed_again_and_again_completes(tmp_path: Path) -> None:
    """While it checks, copies objects, and adds functions; in between nobody meets a function without its version."""
    async with local_home(tmp_path / "origin") as origin:
        await fill(origin)
        owner = an_owner()
        await origin.store.owners.add(owner)
        for _ in range(3):
            await put_function(origin, owner)
        file = await written(origin, tmp_path / "file.tar")
        expected = await content(origin)
    key = os.urandom(32)
    words = (str(tmp_path / "target"), key.hex(), str(file))
    for phase, times in (("check", 1), ("objects", 2), ("rows", 1), ("rows", 3), ("rows", 6)):
        assert await asyncio.to_thread(_killed_at, phase, times, *words)
        async with local_home(tmp_path / "target") as home:
            await _nothing_is_half_done(Home(home.store, home.objects, Sealer(key)))
    async with local_home(tmp_path / "target") as opened:
        home = Home(opened.store, opened.objects, Sealer(key))
        await imported(home, file)
        assert await content(home) == expected


async def _nothing_is_half_done(home: Home) -> None:
    for owner in (await home.store.owners.list(limit=99)).rows:
        for function in await home.store.functions.list(owner.id):
            versions = {version.number for version in await home.store.versions.list(owner.id, function.id)}
            assert function.live_version is None or function.live_version in versions
            for version in await home.store.versions.list(owner.id, function.id):
                info = await home.objects.stat(version.bundle_path)
                assert info is not None
                assert info.sha256 == version.bundle_hash
