"""What a store has confirmed is there, whatever becomes of the process. What every store guarantees."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from cloudserve.core.ids import new_id
from cloudserve.core.models.function import Function
from cloudserve.core.store.abc import Store, Unavailable
from tests.contract.backends import StoreBackend
from tests.contract.records import a_function, an_owner

ROOT = Path(__file__).parents[2]


def _process(job: str, backend: StoreBackend, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contract.worker", job, backend.name, backend.address, *words]
    environment = {"PYTHONPATH": f"{ROOT / '.src'}:{ROOT}"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _killed_while_writing(backend: StoreBackend, lines: int) -> list[list[str]]:
    """Returns what a process had acknowledged when it was killed, some time after `lines` lines."""
    with _process("write", backend) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        acknowledged += process.stdout.readlines()
    return [line.split() for line in acknowledged if line.endswith("\n")]


async def test_what_was_confirmed_survives_a_kill(store_backend: StoreBackend) -> None:
    """Owners, functions, keys and calls, after each of several kills; stats and records agree."""
    acknowledged: list[list[str]] = []
    for lines in (1, 7, 20):
        acknowledged += await asyncio.to_thread(_killed_while_writing, store_backend, lines)
        store = store_backend.store()
        await store.open()
        for owner_id, function_id, key_hash in acknowledged:
            key = await store.keys.by_hash(key_hash)
            function = await store.functions.get(owner_id, function_id)
            assert await store.owners.get(owner_id)
            assert key is not None
            assert await store.keys.default_of(owner_id) == key
            assert function is not None
            assert function.stats.executed == len(await store.usages.latest(owner_id, limit=99)) == 20
        await store.ping()
        await store.close()


async def test_processes_write_at_once(store_backend: StoreBackend) -> None:
    """They open a new store together, wait for each other without an error, and agree on every number."""
    owner_id, usage_ids = new_id(), [new_id() for _ in range(60)]
    function = a_function(owner_id)
    store = store_backend.store()
    await store.open()
    await store.functions.add(function)
    rivals = [_process("race", store_backend, owner_id, function.id, *usage_ids) for _ in range(3)]
    results = await asyncio.gather(*(asyncio.to_thread(rival.communicate) for rival in rivals))
    assert [rival.returncode for rival in rivals] == [0, 0, 0]
    numbers = [int(line) for output, _ in results for line in output.split()]
    assert sorted(numbers) == list(range(1, 181))
    found = await store.functions.get(owner_id, function.id)
    assert found is not None
    assert (found.latest_version, found.stats.executed) == (180, 60)
    assert len((await store.owners.list(limit=9)).rows) == 3
    await store.close()


async def test_a_new_store_is_made_once(store_backend: StoreBackend) -> None:
    """By whichever of several services comes first."""
    stores = [store_backend.store() for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await stores[0].owners.add(owner := an_owner())
    assert all([await store.owners.get(owner.id) == owner for store in stores])
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_store_can_be_closed_and_opened_again(store: Store, function: Function) -> None:
    """What was in it stays; while it is closed it says so."""
    await store.close()
    with pytest.raises(Unavailable):
        await store.functions.get(function.owner_id, function.id)
    with pytest.raises(Unavailable):
        await store.ping()
    await store.open()
    assert await store.functions.get(function.owner_id, function.id) == function


async def test_a_caller_that_gives_up_harms_nobody(store: Store) -> None:
    """Its write has happened whole or not at all, and the next one is served."""
    owners = [an_owner() for _ in range(20)]
    tasks = [asyncio.create_task(store.owners.add(owner)) for owner in owners]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for owner, result in zip(owners, results, strict=True):
        if result is None:
            assert await store.owners.get(owner.id) == owner
    await store.ping()


async def test_many_writes_at_once_are_all_served(store: Store, second: Store) -> None:
    """Hundreds of tasks of two services: none is told that the store is busy."""
    owners = [an_owner() for _ in range(300)]
    await asyncio.gather(*((store, second)[i % 2].owners.add(owner) for i, owner in enumerate(owners)))
    assert len((await store.owners.list(limit=1_000)).rows) == 300
