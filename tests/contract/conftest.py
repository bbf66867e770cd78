"""What the contract suites share: a fresh place in each backend, and the ways to it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cloudserve.core.confine.tiers import Tier
from cloudserve.core.models.function import Function, Runtime
from cloudserve.core.models.owner import Owner
from cloudserve.core.objects.abc import Objects
from cloudserve.core.store.abc import Store
from tests.contract.backends import OBJECTS, STORES, ObjectsBackend, StoreBackend
from tests.contract.records import a_function, an_owner
from tests.contract.sandboxes import REMOTE, TIER, Functions, running, tiers

OVER_A_WIRE = {
    "test_sandbox",
    "test_sandbox_ends",
    "test_sandbox_limits",
    "test_sandbox_output",
    "test_sandbox_streams",
    "test_sandbox_workers",
}


@pytest.fixture(params=sorted(STORES))
def store_backend(request: pytest.FixtureRequest, tmp_path: Path) -> StoreBackend:
    """A place that no store has used yet."""
    return StoreBackend(request.param, str(tmp_path / "store"))


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
