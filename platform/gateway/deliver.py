"""From the spool to the store, in batches, behind the calls.

Guarantees
- The oldest lines go first. A batch counts as delivered when the store has it; the store knows each execution by its
  id, so that a batch that was cut off is delivered again without harm.
- A store that is away is waited for. A record that the store refuses although it answers, and a line that can't be
  read, are logged and passed over; the others arrive.
- Calls go first: what a batch leaves little of waits for more of it, and while many come in, delivery takes a tenth of
  the time and rests for nine. The fuller the spool is, the shorter it rests, and from half full on it does not, so that
  a load which lasts makes calls slower before it costs a record.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Final

from cloudserve.core.store.abc import Store, Unavailable
from cloudserve.gateway.record import Execution, decode
from cloudserve.gateway.spool import Spool

IDLE_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 60.0
"""For a batch. One that a slow store has taken in part is known to it by its executions the next time."""
LONGEST_REST: Final = 9.0
"""In times of the work that went before."""
MOST_REST_SECONDS: Final = 1.0
"""A store that takes seconds for a batch costs this process no time to rest from."""
BUSY_CALLS: Final = 20
"""Calls between two batches that mean many: a batch of about 100 records takes a few milliseconds."""
BATCH_BYTES: Final = 32 * 1024
_FULL_BYTES: Final = BATCH_BYTES // 2
"""Of a batch that leaves more behind it. After a smaller one the spool is empty but for what came in meanwhile: without
a rest, a slow store would be given each call's record by itself, with a transaction for each.
"""
ADOPT_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


class Delivery:
    """Delivers one spool. `start` before use; `close` delivers what is left, if the store takes it in time."""

    def __init__(self, spool: Spool, store: Store) -> None:
        self._spool = spool
        self._store = store
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes up what dead processes have left, and begins."""
        self._spool.adopt()
        self._task = asyncio.create_task(self._run(), name="gateway-delivery")

    async def close(self, *, grace_seconds: float = 10) -> None:
        """Stops, after everything was delivered or the time is up; what is left stays on disk for the next process."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        try:
            async with asyncio.timeout(grace_seconds):
                while await self._deliver_one() > 0:
                    pass
        except (TimeoutError, Unavailable) as error:
            _log.warning("records wait on disk for the next process: %r", error)
        finally:
            self._spool.close()

    async def _run(self) -> None:
        adopt_at = time.monotonic() + ADOPT_SECONDS
        calls = 0
        away = False
        while True:
            began = time.monotonic()
            try:
                if began >= adopt_at:
                    self._spool.adopt()
                    adopt_at = began + ADOPT_SECONDS
                async with asyncio.timeout(ANSWER_SECONDS):
                    delivered = await self._deliver_one()
            except Exception as error:  # noqa: BLE001 - whatever it is, the records wait, and it is tried again
                if not away:
                    fault = not isinstance(error, Unavailable | TimeoutError)
                    _log.warning("records wait for the store: %r", error, exc_info=fault)
                away = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if away:
                _log.info("records go to the store again")
                away = False
            worked = time.monotonic() - began
            calls_before, calls = calls, self._spool.appended
            if delivered < _FULL_BYTES:
                await asyncio.sleep(IDLE_SECONDS)
            elif calls - calls_before > BUSY_CALLS:
                rest = worked * LONGEST_REST * max(0.0, 1 - 2 * self._spool.fullness)
                await asyncio.sleep(min(rest, MOST_REST_SECONDS))
            else:
                await asyncio.sleep(min(worked, MOST_REST_SECONDS))

    async def _deliver_one(self) -> int:
        """Delivers a batch. Returns its bytes, 0 when nothing waits. Raises `Unavailable`."""
        waiting = self._spool.next_lines(BATCH_BYTES)
        if waiting is None:
            return 0
        file, lines = waiting
        await self._record(_read(lines))
        file.deliver(len(lines))
        return len(lines)

    async def _record(self, batch: Sequence[Execution]) -> None:
        try:
            await self._store.logs.record([execution.log() for execution in batch])
            await self._store.usages.record([execution.usage() for execution in batch])
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - one bad record must not hold up the others
            if len(batch) == 1:
                await self._store.ping()  # a store that is going away may say anything
                _log.exception("the record of execution %s was refused, and is lost", batch[0].execution_id)
                return
            half = len(batch) // 2
            await self._record(batch[:half])
            await self._record(batch[half:])


def _read(lines: bytes) -> list[Execution]:
    batch = []
    for line in lines.splitlines():
        try:
            batch.append(decode(line))
        except ValueError:
            if line:
                _log.warning("a torn record of %d bytes was passed over", len(line))
    return batch
