"""Mends what a writer left half done: one that was killed between two writes, or lost the server there.

Every open store looks now and then, whichever service it belongs to. All mending may be done by several at once, and
beside the writer itself if that was slow rather than dead. Nothing here compares the clocks of two machines for more
than an hour's precision: what is left over is known by having been there at an earlier look.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Hashable, Iterable
from datetime import timedelta
from typing import Final, Generic, TypeVar

from cloudserve.core.models.base import utc_now
from cloudserve.core.store.abc import StoreError
from cloudserve.core.store.mongo.client import ANSWER_SECONDS
from cloudserve.core.store.mongo.feed import Feed
from cloudserve.core.store.mongo.functions import Graveyard
from cloudserve.core.store.mongo.owners import MongoOwners
from cloudserve.core.store.mongo.tally import Tally

LOOK_SECONDS: Final = 1.0
LATE_SECONDS: Final = 2.0
"""An intent this old is told of, each time it is seen by one more service."""

LOST_SECONDS: Final = 60.0
"""No command is waited for as long: whoever began this is not coming back."""

GRAVE: Final = timedelta(hours=1)
"""How long a deleted function is remembered, for what was still on its way to it."""

K = TypeVar("K", bound=Hashable)

_log = logging.getLogger(__name__)


class Keeper:
    """Looks after one database between `start` and `close`."""

    def __init__(self, feed: Feed, owners: MongoOwners, graveyard: Graveyard, tally: Tally) -> None:
        self._feed = feed
        self._owners = owners
        self._graveyard = graveyard
        self._tally = tally
        self._intents: _Sightings[str] = _Sightings()
        self._tallies: _Sightings[tuple[str, str]] = _Sightings()
        self._told: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.create_task(self._run(), name="store-keeper")

    async def close(self) -> None:
        """Stops."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def tell_what_was_left(self, *, late: float = LATE_SECONDS, lost: float = LOST_SECONDS) -> None:
        """Finishes and tells of changes whose writers are late; forgets those whose writers are lost."""
        intents = await self._feed.intents()
        ages = self._intents.ages(intents)
        self._told &= ages.keys()
        for token, intent in intents.items():
            if ages[token] < late or (token in self._told and ages[token] < lost):
                continue
            for thing in intent.things if intent.ends else ():
                if thing.kind == "function":
                    await self._graveyard.clear(thing.id)
                elif thing.kind == "owner":
                    await self._owners.clear(thing.id)
            await self._feed.tell(intent.things, token if ages[token] >= lost else None)
            self._told.add(token)

    async def count_what_was_left(self, *, late: float = ANSWER_SECONDS) -> None:
        """Counts records of calls that a writer has added and, for so long, not counted."""
        ages = self._tallies.ages(await self._tally.open())
        for (token, function_id), age in ages.items():
            if age >= late:
                await self._tally.settle(token, function_id)

    async def clear_graves(self, *, older_than: timedelta = GRAVE) -> None:
        """Deletes what came for deleted functions after they were."""
        for function_id in await self._graveyard.dug_before(utc_now() - older_than):
            await self._graveyard.close(function_id)

    async def _run(self) -> None:
        beat = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.tell_what_was_left()
                if beat % 10 == 0:
                    await self.count_what_was_left()
                if beat % 600 == 0:
                    await self.clear_graves()
            except StoreError as error:
                _log.debug("nothing was mended: %s", error)
            except Exception:  # noqa: BLE001 - a mistake in one look must not end them all
                _log.exception("what a writer left half done could not be mended")
            beat += 1


class _Sightings(Generic[K]):
    """Tells for how many seconds each of some things has been seen."""

    def __init__(self) -> None:
        self._since: dict[K, float] = {}

    def ages(self, seen: Iterable[K]) -> dict[K, float]:
        """Takes note of what there is, and forgets the rest."""
        now = time.monotonic()
        self._since = {one: self._since.get(one, now) for one in seen}
        return {one: now - since for one, since in self._since.items()}
