"""What the durability tests run as processes of their own: `python -m tests.contract.worker JOB BACKEND ADDRESS …`.

Each line that is printed acknowledges something that the store or the object store has confirmed.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Final

from cloudserve.core.ids import new_id
from cloudserve.core.models.function import Function
from tests.contract.backends import OBJECTS, STORES
from tests.contract.records import NOW, a_function, a_key, a_usage, an_owner


def _acknowledge(*words: object) -> None:
    print(*words, flush=True)


async def write(backend: str, address: str) -> None:
    """Adds owners, functions, keys and usage records until it is killed."""
    store = STORES[backend](address).store()
    await store.open()
    while True:
        owner = an_owner()
        await store.owners.add(owner)
        function = a_function(owner.id)
        await store.functions.add(function)
        key = a_key(owner.id, kind="default")
        await store.keys.replace_default(key)
        await store.usages.record([a_usage(function) for _ in range(20)])
        _acknowledge(owner.id, function.id, key.key_hash)


async def race(backend: str, address: str, owner_id: str, function_id: str, *usage_ids: str) -> None:
    """Takes version numbers and records the same usages as its rivals; opens the store first, as they all do."""
    store = STORES[backend](address).store()
    await store.open()
    function = Function(id=function_id, owner_id=owner_id, name="f")
    await store.owners.add(an_owner())
    for usage_id in usage_ids:
        taken = await store.functions.next_version(owner_id, function_id)
        assert taken is not None
        await store.usages.record([a_usage(function, id=usage_id, start_time=NOW)])
        _acknowledge(taken[0])
    await store.close()


async def put(backend: str, address: str, key: str) -> None:
    """Puts one object again and again, with another content each time, until it is killed."""
    objects = OBJECTS[backend](address).objects()
    await objects.open()
    while True:
        info = await objects.put(key, new_id().encode() * 100_000)
        _acknowledge(info.sha256)


JOBS: Final[dict[str, Callable[..., Coroutine[None, None, None]]]] = {"write": write, "race": race, "put": put}

if __name__ == "__main__":
    asyncio.run(JOBS[sys.argv[1]](*sys.argv[2:]))
