"""Waiting for what other processes do."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psutil


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds, which must be within seconds."""
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Tells whether a process runs no more."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True
