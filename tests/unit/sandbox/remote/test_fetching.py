"""Where a host's trees come from when it lacks them."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloudserve.core.objects.abc import Corrupt, ObjectsUnavailable
from cloudserve.sandbox.remote.fetching import Fetching

CONTENT = b"x" * 3_000_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Gateway:
    """A gateway that sends these parts, and then breaks off or not."""

    def __init__(self, *parts: bytes, breaks: bool = False) -> None:
        self.asked = 0
        self._parts = parts
        self._breaks = breaks

    async def want(self, sha256: str) -> AsyncIterator[bytes]:
        """Yields them."""
        self.asked += 1
        for part in self._parts:
            yield part
        if self._breaks:
            raise ConnectionResetError("gone")


async def test_a_tree_comes_from_the_first_gateway_that_has_it(tmp_path: Path) -> None:
    """One that breaks off, or sends something else, is passed over, and nothing of it stays."""
    fetching = Fetching()
    broken, wrong, good = Gateway(b"x", breaks=True), Gateway(b"y"), Gateway(CONTENT[:9], CONTENT[9:])
    for gateway in (broken, wrong, good):
        fetching.offer(SHA256, gateway)
    await fetching.fetch("tree", tmp_path / "archive", sha256=SHA256)
    assert (tmp_path / "archive").read_bytes() == CONTENT
    assert [gateway.asked for gateway in (broken, wrong, good)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("gateway", "error"), [(Gateway(b"x", breaks=True), ObjectsUnavailable), (Gateway(b"y"), Corrupt)]
)
async def test_what_no_gateway_has_is_told(tmp_path: Path, gateway: Gateway, error: type[Exception]) -> None:
    """Whether it did not come or was not what it should be; no file is left."""
    fetching = Fetching()
    fetching.offer(SHA256, gateway)
    with pytest.raises(error):
        await fetching.fetch("tree", tmp_path / "archive", sha256=SHA256)
    assert not (tmp_path / "archive").exists()


async def test_a_gateway_that_has_gone_is_not_asked(tmp_path: Path) -> None:
    """Nor one that never named the tree."""
    fetching = Fetching()
    gone = Gateway(CONTENT)
    fetching.offer(SHA256, gone)
    fetching.withdraw(gone)
    fetching.offer("0" * 64, Gateway(CONTENT))
    with pytest.raises(ObjectsUnavailable):
        await fetching.fetch("tree", tmp_path / "archive", sha256=SHA256)
    assert gone.asked == 0
