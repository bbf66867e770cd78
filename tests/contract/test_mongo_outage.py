"""A MongoDB server that is killed, started again, or was never there."""

import asyncio
import gc
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloudserve.core.store.abc import Unavailable
from cloudserve.core.store.mongo import MongoStore
from tests.contract.backends import Mongo
from tests.contract.records import a_function, a_key, a_usage, an_owner
from tests.servers import mongo
from tests.servers.processes import free_port

pytestmark = pytest.mark.full


@pytest.fixture(autouse=True)
def driver_s_sockets() -> Iterator[None]:
    """Has those collected here that the driver leaves when it is closed while it connects, before others are blamed."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[mongo.MongoServer]:
    """A server that the test may kill."""
    if reason := mongo.why_not():
        pytest.skip(reason)
    server = mongo.MongoServer(tmp_path).start()
    yield server
    server.stop()


async def test_confirmed_writes_survive_the_server_s_end(server: mongo.MongoServer) -> None:
    """It is killed, and while it is away everything says `Unavailable`; when it is back, the same store goes on."""
    store = MongoStore(server.url, database="db")
    await store.open()
    await store.owners.add(owner := an_owner())
    await store.functions.add(function := a_function(owner.id))
    await store.keys.replace_default(key := a_key(owner.id, kind="default"))
    await store.usages.record([a_usage(function) for _ in range(5)])
    cursor = await store.last_change()
    server.kill()
    attempts = (
        store.owners.get(owner.id),
        store.owners.add(an_owner()),
        store.usages.record([a_usage(function)]),
        store.changes(0),
        store.ping(),
    )
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * len(attempts)
    server.start()
    assert await store.owners.get(owner.id) == owner
    assert await store.keys.by_hash(key.key_hash) == key
    found = await store.functions.get(owner.id, function.id)
    assert found is not None
    assert found.stats.executed == 5
    await store.ping()
    await store.functions.set_active(owner.id, function.id, False)
    assert [change.id for change in await store.changes(cursor)] == [function.id]
    await store.close()


async def test_a_store_that_can_t_be_reached_can_t_be_opened(tmp_path: Path) -> None:
    """But later, when the server is there."""
    store = MongoStore(f"mongodb://127.0.0.1:{free_port()}", database="db")
    with pytest.raises(Unavailable):
        await store.open()
    with pytest.raises(Unavailable):
        await store.ping()


async def test_records_expire_where_the_server_can_do_so(mongo_backend: Mongo) -> None:
    """As long as they are kept; a store that leaves it to the sweeps changes nothing, another time takes its place."""
    url, name = mongo_backend.address.split()

    async def kept(keep: timedelta | None) -> dict[str, int | None]:
        store = MongoStore(url, database=name, keep=keep)
        await store.open()
        found = {}
        for collection in ("usages", "logs", "sessions"):
            for index in await (await store._db[collection].list_indexes()).to_list():
                if "expireAfterSeconds" in index:
                    found[collection] = index["expireAfterSeconds"]
        await store.close()
        return found

    assert await kept(timedelta(days=2)) == {"usages": 172_800, "logs": 172_800, "sessions": 0}
    assert await kept(None) == {"usages": 172_800, "logs": 172_800, "sessions": 0}
