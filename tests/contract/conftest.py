"""What the contract suites share: a fresh place in each backend, and the ways to it."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from cloudserve.core.confine.tiers import Tier
from cloudserve.core.ids import new_id
from cloudserve.core.models.function import Function, Runtime
from cloudserve.core.models.owner import Owner
from cloudserve.core.objects.abc import Objects
from cloudserve.core.store.abc import Store
from tests.contract.backends import OBJECTS, Mongo, ObjectsBackend, Sqlite, StoreBackend
from tests.contract.filters import Watch
from tests.contract.records import a_function, an_owner
from tests.contract.sandboxes import REMOTE, TIER, Functions, running, tiers
from tests.servers import mongo

OVER_A_WIRE = {
    "test_sandbox",
    "test_sandbox_ends",
    "test_sandbox_limits",
    "test_sandbox_output",
    "test_sandbox_streams",
    "test_sandbox_workers",
}


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MongoDB server: the one that the environment names, or one of this session's own."""
    given = os.environ.get(mongo.REAL_URL)
    if given:
        yield given
        return
    if reason := mongo.why_not():
        pytest.skip(reason)
    server = mongo.MongoServer(tmp_path_factory.mktemp("mongo")).start()
    yield server.url
    server.stop()


@pytest.fixture
def mongo_backend(mongo_url: str) -> Iterator[Mongo]:
    """A database that no store has used yet; what is looked up in it is held to the table of indexes."""
    database = f"test-{new_id()}"
    with Watch(database) as watch:
        yield Mongo(f"{mongo_url} {database}")
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        client.drop_database(database)
    assert watch.uncovered == []


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.full)])
def store_backend(request: pytest.FixtureRequest, tmp_path: Path) -> StoreBackend:
    """A place that no store has used yet."""
    if request.param == "mongo":
        backend: Mongo = request.getfixturevalue("mongo_backend")
        return backend
    return Sqlite(str(tmp_path / "store"))


@pytest.fixture
async def store(store_backend: StoreBackend) -> AsyncIterator[Store]:
    """An open, empty store."""
    store = store_backend.store()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def second(store: Store, store_backend: StoreBackend) -> AsyncIterator[Store]:
    """Another way to the same store, as another service has it."""
    second = store_backend.store()
    await second.open()
    yield second
    await second.close()


@pytest.fixture
async def owner(store: Store) -> Owner:
    """An owner in the store."""
    owner = an_owner("ann", email="ann@example.org")
    await store.owners.add(owner)
    return owner


@pytest.fixture
async def function(store: Store, owner: Owner) -> Function:
    """A function of that owner."""
    function = a_function(owner.id, "hello")
    await store.functions.add(function)
    return function


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.full] * OBJECTS[name].full) for name in sorted(OBJECTS)])
def objects_backend(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectsBackend:
    """A place that no object store has used yet."""
    return OBJECTS[request.param](str(tmp_path / "objects"))


@pytest.fixture
async def objects(objects_backend: ObjectsBackend) -> AsyncIterator[Objects]:
    """An open, empty object store."""
    objects = objects_backend.objects()
    await objects.open()
    yield objects
    await objects.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Has every test of the sandbox's contract run at each tier, but for those that are about tier C.

    Those that are about more than one worker's inside also run over a wire, at the best tier there is.
    """
    name = metafunc.module.__name__.rpartition(".")[2]
    if name.startswith("test_sandbox") and name != "test_sandbox_claims":
        metafunc.fixturenames.insert(0, "tier")
        params: list[Any] = list(tiers())
        if name in OVER_A_WIRE:
            params.append(pytest.param(f"{params[0]}-{REMOTE}", id="remote", marks=pytest.mark.full))
        metafunc.parametrize("tier", params, indirect=True)


@pytest.fixture
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tier:
    """The tier that a test is about, on this host or beyond a wire."""
    name: Tier
    name, _, remote = request.param.partition("-")
    monkeypatch.setenv(TIER, name)
    if remote:
        monkeypatch.setenv(REMOTE, "1")
    return name


@pytest.fixture(params=["python", "node"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each runtime in turn."""
    name: Runtime = request.param
    return name


@pytest.fixture
async def functions(tmp_path: Path) -> AsyncIterator[Functions]:
    """Functions in a sandbox of their own."""
    async with running(tmp_path) as functions:
        yield functions
