"""The stock of blank workers: filled behind whoever takes one, and never a reason for anybody to wait or fail."""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from cloudserve.sandbox.ends import WorkerLost
from cloudserve.sandbox.failures import Failure
from cloudserve.sandbox.stock import Stock
from cloudserve.sandbox.worker import Worker


class Blank:
    """What a stock needs of a worker."""

    def __init__(self) -> None:
        self.stopping = False
        self.calls = self
        self.hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.hello.set_result(None)

    def stop(self) -> None:
        self.stopping = True


class Shop:
    """A stock of blanks, the blanks that were made, and whether making one fails."""

    def __init__(self, size: int) -> None:
        self.made: list[Blank] = []
        self.fails = False
        self.tasks: set[asyncio.Task[None]] = set()
        self.stock = Stock(self._make, size, self._run)

    async def _make(self) -> Worker:
        if self.fails:
            raise WorkerLost(Failure("crash", "no more processes"))
        await asyncio.sleep(0)
        self.made.append(Blank())
        return cast("Worker", self.made[-1])

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.add(asyncio.get_running_loop().create_task(work))

    async def settle(self) -> None:
        """Waits until nothing is being made."""
        while self.tasks:
            await self.tasks.pop()


async def test_it_is_filled_to_its_size_and_no_further() -> None:
    """However often it is asked to."""
    shop = Shop(2)
    shop.stock.fill()
    shop.stock.fill()
    await shop.settle()
    shop.stock.fill()
    await shop.settle()
    assert len(shop.made) == 2


async def test_taking_one_has_another_one_made() -> None:
    """Behind the request that took it."""
    shop = Shop(1)
    assert shop.stock.take() is None
    await shop.settle()
    assert shop.stock.take() is cast("Worker", shop.made[0])
    await shop.settle()
    assert len(shop.made) == 2


async def test_a_blank_that_has_ended_is_passed_over() -> None:
    """It is as if it had not been there."""
    shop = Shop(1)
    shop.stock.fill()
    await shop.settle()
    shop.made[0].stop()
    assert shop.stock.take() is None
    await shop.settle()
    assert shop.stock.take() is cast("Worker", shop.made[1])


async def test_what_can_not_be_made_is_logged_and_tried_again_with_the_next_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody fails for it: who needs a worker starts one."""
    shop = Shop(1)
    shop.fails = True
    assert shop.stock.take() is None
    await shop.settle()
    assert "no more processes" in caplog.text
    shop.fails = False
    shop.stock.take()
    await shop.settle()
    assert shop.stock.take() is not None


async def test_a_stock_that_is_given_up_ends_what_it_has_and_what_is_under_way() -> None:
    """No blank outlives it."""
    shop = Shop(2)
    shop.stock.fill()
    await shop.settle()
    shop.stock.take()
    while not shop.made[2:]:  # noqa: ASYNC110 - until the next one is under way; the shop tells nobody
        await asyncio.sleep(0)
    shop.stock.give_up()
    await shop.settle()
    assert [blank.stopping for blank in shop.made] == [True, False, True]
    shop.stock.fill()
    assert not shop.tasks
