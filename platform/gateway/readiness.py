"""Whether a gateway may take traffic: yes while what it has cached holds, store or no store.

A gateway without the store answers for what it knows, for as long as `store_tolerance_seconds`; then keys fail
closed, and it is not ready. Whether workers are to be had, the sandbox's `lacking` tells.
"""

from collections.abc import Callable
from typing import Final

from cloudserve.core.readiness import OK, Readiness
from cloudserve.gateway.changes import ChangeFeed
from cloudserve.gateway.recorder import Recorder

LATE_SECONDS: Final = 5.0
"""The feed asks twice a second; a store that has not answered for ten times that is away, or slow."""

Lacking = Callable[[], str | None]
"""Returns why no worker is to be had, None where one is."""


class GatewayReadiness:
    """Looks at the parts of one gateway; asks nobody. `leaving`, once set, means that it takes nothing new."""

    def __init__(self, feed: ChangeFeed, recorder: Recorder, lacking: Lacking) -> None:
        self.leaving = False
        self._feed = feed
        self._recorder = recorder
        self._lacking = lacking

    def check(self) -> Readiness:
        """Returns the verdict."""
        sandbox = self._lacking()
        checks = {"store": self._store(), "sandbox": sandbox or OK, "spool": self._spool()}
        if self.leaving:
            checks["process"] = "leaving"
        return Readiness(self._feed.fresh and sandbox is None and not self.leaving, checks)

    def _store(self) -> str:
        away = self._feed.staleness
        if away < LATE_SECONDS:
            return OK
        if self._feed.fresh:
            left = self._feed.tolerance_seconds - away
            return f"no answer for {away:.0f} seconds; what is cached is served for {left:.0f} more"
        return f"no answer for {away:.0f} seconds, which is too long to go on with what is cached"

    def _spool(self) -> str:
        if self._recorder.fullness < 1 / 2:
            return OK
        return f"{self._recorder.fullness:.0%} full of records that wait for the store"
