"""One at a time, across tasks and processes."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 0.5


@asynccontextmanager
async def exclusive(path: Path) -> AsyncIterator[None]:
    """Holds the lock file `path`; waits while another task or process holds it. A dead process holds nothing.

    It asks again and again rather than wait in a thread, which nobody could call back.
    """
    file = await asyncio.to_thread(path.open, "w")
    try:
        wait = _FIRST_WAIT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
        yield
    finally:
        file.close()
