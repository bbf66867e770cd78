"""Work that goes on after its request was answered."""

import asyncio

import pytest

from cloudserve.api.background import Background


async def test_work_goes_on_and_is_waited_for() -> None:
    """At the end, all of it is done; also what started while others were waited for."""
    background, done = Background(), []

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        done.append(name)
        if name == "first":
            background.start(work("second"))

    background.start(work("first"))
    assert done == []
    await background.close()
    assert done == ["first", "second"]


async def test_a_failure_is_logged_and_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """The others go on."""
    background, done = Background(), []

    async def failing() -> None:
        raise RuntimeError("the mail server is away")

    async def working() -> None:
        done.append(True)

    background.start(failing())
    background.start(working())
    await background.settle()
    assert done == [True]
    assert "the mail server is away" in capsys.readouterr().out


async def test_what_takes_too_long_is_cut_off() -> None:
    """A platform that ends waits for nobody forever."""
    background, cut = Background(), asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    background.start(endless())
    await background.close(seconds=0.01)
    await cut.wait()
