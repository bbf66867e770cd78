"""The recorder of a gateway: takes what became of each call, and sees to it that the store gets it."""

import logging
from pathlib import Path

from cloudserve.core.store.abc import Store
from cloudserve.gateway.deliver import Delivery
from cloudserve.gateway.meters import Meters
from cloudserve.gateway.record import Begun, encode, execution_of
from cloudserve.gateway.spool import Spool
from cloudserve.sandbox.abc import Outcome

_log = logging.getLogger(__name__)


class Recorder:
    """Spools records, and delivers them behind the calls. `start` before use, `close` once after."""

    def __init__(self, folder: Path, store: Store, meters: Meters) -> None:
        self.unwritten = 0
        self._meters = meters
        self._spool = Spool(folder)
        self._delivery = Delivery(self._spool, store)

    async def start(self) -> None:
        """Begins to deliver, with what dead processes have left."""
        await self._delivery.start()

    async def close(self) -> None:
        """Delivers what is left; what the store does not take stays on disk for the next process."""
        await self._delivery.close()

    @property
    def waiting_bytes(self) -> int:
        """Returns how much waits for the store."""
        return self._spool.waiting_bytes

    @property
    def fullness(self) -> float:
        """Returns which share of its room the spool has filled."""
        return self._spool.fullness

    @property
    def lost_bytes(self) -> int:
        """Returns how much was given up because the spool was full."""
        return self._spool.lost_bytes

    def record(self, begun: Begun, status_code: int, ended: float, outcome: Outcome) -> None:
        """Counts a call and keeps what became of it; `ended` in seconds since 1970."""
        self._meters.count(begun.deployment, outcome)
        self.keep(encode(begun, status_code, ended, outcome))

    def keep(self, *lines: bytes) -> None:
        """Keeps records (`record.encode`), safe from the end of this process when it returns.

        A disk that takes no more loses records, never answers: `unwritten` and the log tell, with the records' ids.
        """
        try:
            self._spool.append(*lines)
        except OSError as error:
            self.unwritten += len(lines)
            executions = ", ".join(execution_of(line) for line in lines)
            _log.error("the records of these executions were not written (%s): %s", error, executions)
