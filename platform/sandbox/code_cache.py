"""V8's code caches of big bundles: what one worker compiled spares the next workers of its version the compiling.

A cache is a stranger's bytes, and V8 does not check that they are what it made. So it is only ever given to workers of
the version it came from, which run that stranger's code anyway, within the same walls: a forged one can do nothing that
the code could not. The host never looks into it. The first that a version's worker hands over stays; one that V8
refuses, or with which a worker did not start, is dropped.

A worker is asked while it is idle and after its first call, so that the functions this needed are in the cache, and one
worker at a time on the whole host, so that not more than one unfinished cache is held.
"""

import functools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from cloudserve.sandbox.abc import Deployment
from cloudserve.sandbox.group import Group
from cloudserve.sandbox.worker import Worker

MAX_CACHE_BYTES: Final = 8 * 1024 * 1024
"""The largest cache that is kept; that of a bundle of 1.1 MB has some 5 MB."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""What all of them may hold; those that were used the longest time ago go first."""

_ANSWER_SECONDS: Final = 5.0


class CodeCaches:
    """The code caches of all versions."""

    def __init__(self, *, max_cache_bytes: int = MAX_CACHE_BYTES, max_bytes: int = MAX_BYTES) -> None:
        self._max_cache_bytes = max_cache_bytes
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._bytes = 0
        self._request: _Request | None = None

    def of(self, deployment: Deployment) -> bytes | None:
        """Returns the cache of a version, if there is one."""
        held = self._held.get(deployment.version_id)
        if held is None:
            return None
        self._held.move_to_end(deployment.version_id)
        return held[1]

    def keep(self, deployment: Deployment, cache: bytes) -> None:
        """Keeps the cache of a version that has none."""
        if deployment.version_id in self._held or not 0 < len(cache) <= self._max_cache_bytes:
            return
        self._held[deployment.version_id] = deployment.function_id, cache
        self._bytes += len(cache)
        while self._bytes > self._max_bytes:
            self.drop(next(iter(self._held)))

    def drop(self, version_id: str) -> None:
        """Forgets the cache of a version."""
        _, cache = self._held.pop(version_id, ("", b""))
        self._bytes -= len(cache)

    def retire(self, function_id: str, keep_version: str | None) -> None:
        """Forgets the caches of a function but for that of one version."""
        for version_id, (owner, _) in list(self._held.items()):
            if owner == function_id and version_id != keep_version:
                self.drop(version_id)

    def ask(self, groups: Iterable[Group]) -> None:
        """Asks an idle worker of a version without a cache for one, unless another is still at it."""
        if self._request is not None and self._request.is_open():
            return
        self._request = None
        for group in groups:
            if group.retired or group.deployment.version_id in self._held:
                continue
            worker = next((worker for worker in group.idle if _may_be_asked(worker)), None)
            if worker is not None:
                self._request = _Request(worker, self._max_cache_bytes, functools.partial(self._came, group))
                return

    def _came(self, group: Group, cache: bytes) -> None:
        if not group.retired:
            self.keep(group.deployment, cache)


class _Request:
    """Asks a worker for its code cache and hands it to `on_complete`, if it comes in time and is not too large."""

    def __init__(self, worker: Worker, max_bytes: int, on_complete: Callable[[bytes], None]) -> None:
        self._worker = worker
        self._max_bytes = max_bytes
        self._on_complete = on_complete
        self._until = time.monotonic() + _ANSWER_SECONDS
        self._pieces: list[bytes] = []
        self._size = 0
        self._open = True
        worker.compiled = False
        worker.calls.on_code = self._take
        worker.calls.ask_for_code()

    def is_open(self) -> bool:
        """Tells whether the answer is still waited for; where it is not, lets go of what came of it."""
        if self._open and (self._worker.stopping or time.monotonic() > self._until):
            self._close()
        return self._open

    def _take(self, piece: bytes) -> None:
        if not self._open:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._max_bytes:
            self._close()
        elif not piece:
            cache = b"".join(self._pieces)
            self._close()
            self._on_complete(cache)

    def _close(self) -> None:
        self._open = False
        self._pieces = []


def _may_be_asked(worker: Worker) -> bool:
    """Only who has room: the cache takes memory of the worker's own, for a moment twice its size."""
    calls = worker.calls
    return worker.compiled and calls.begun > 0 and calls.peak_kib < calls.memory_mb * 1024 // 2
