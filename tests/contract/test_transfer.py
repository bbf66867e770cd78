"""Export and import: whatever the stores are, a home comes back as it was. What every pair of stores guarantees."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloudserve.core.objects.abc import Objects
from cloudserve.core.store.abc import Store
from cloudserve.core.transfer.home import Home
from tests.homes import a_home, content, fill, imported, local_home, written


@pytest.fixture
def home(store: Store, objects: Objects) -> Home:
    """An empty home over each pair of stores."""
    return a_home(store, objects)


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Home]:
    """A home in a folder, with some of everything in it."""
    async with local_home(tmp_path / "origin") as origin:
        await fill(origin)
        yield origin


async def test_a_home_comes_back_from_any_stores_as_it_was(origin: Home, home: Home, tmp_path: Path) -> None:
    """There and back: ids, numbers, sequences, totals and times too; each home has secrets of its own key."""
    await imported(home, await written(origin, tmp_path / "there.tar"))
    assert await content(home) == await content(origin)
    async with local_home(tmp_path / "back") as back:
        await imported(back, await written(home, tmp_path / "back.tar"))
        assert await content(back) == await content(origin)


async def test_an_import_again_adds_nothing(origin: Home, home: Home, tmp_path: Path) -> None:
    """And tells no gateway of a change."""
    file = await written(origin, tmp_path / "file.tar")
    first = await imported(home, file)
    cursor = await home.store.last_change()
    second = await imported(home, file)
    assert await content(home) == await content(origin)
    assert await home.store.last_change() == cursor
    assert (first.added.functions, first.there.functions) == (3, 0)
    assert (second.added.functions, second.there.functions, second.added.objects, second.added.size) == (0, 3, 0, 0)


async def test_what_was_imported_goes_on(origin: Home, home: Home, tmp_path: Path) -> None:
    """The next deploy takes the next number, and the call of a gateway is counted on top."""
    await imported(home, await written(origin, tmp_path / "file.tar"))
    owner = await home.store.owners.by_name("ann")
    assert owner is not None
    (function,) = await home.store.functions.list(owner.id)
    assert await home.store.functions.next_version(owner.id, function.id) == (3, 3)
    assert function.stats.executed == 7
