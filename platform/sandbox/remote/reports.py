"""What a host tells of itself with each answer to a ping: how busy it is, and whom it serves."""

from dataclasses import asdict, dataclass, replace
from typing import Self

import orjson

from cloudserve.sandbox.abc import SandboxStats
from cloudserve.sandbox.protocol import ProtocolError
from cloudserve.sandbox.remote.wire import VERSION, document


@dataclass(frozen=True, slots=True)
class Report:
    """A host at one moment.

    Args:
        capacity: calls that it can run at once without one slowing another; its processors.
        others: calls in flight on it that came from other gateways.
        draining: it goes away and takes no new calls.
        exclusive: it serves one owner at a time: `holder` is the one that has it, and when it is `free` nobody does.
        workers, busy, waiting, starts, kills: its `SandboxStats`.
    """

    capacity: int = 1
    others: int = 0
    draining: bool = False
    exclusive: bool = False
    free: bool = False
    holder: str | None = None
    workers: int = 0
    busy: int = 0
    waiting: int = 0
    starts: int = 0
    kills: int = 0

    @property
    def stats(self) -> SandboxStats:
        """What the sandbox of the host holds."""
        return SandboxStats(self.workers, self.busy, self.waiting, self.starts, self.kills)

    def claimed(self, owner_id: str) -> Self:
        """Returns the report of the same host, once an owner was sent there."""
        return replace(self, free=False, holder=owner_id) if self.free else self

    def write(self) -> bytes:
        """Returns the JSON of a WELCOME or PONG."""
        return orjson.dumps({"version": VERSION, **asdict(self)})

    @classmethod
    def read(cls, payload: bytes) -> Self:
        """Reads the JSON of a WELCOME or PONG. Raises `ProtocolError`."""
        found = document(payload)
        if found.pop("version", None) != VERSION:
            raise ProtocolError(f"it speaks another version of the protocol than {VERSION}; run one release on both")
        try:
            report = cls(**found)
        except TypeError:
            raise ProtocolError("A report that can't be read.") from None
        figures = (report.others, report.workers, report.busy, report.waiting, report.starts, report.kills)
        told = (report.draining, report.exclusive, report.free)
        if (
            not all(type(figure) is int and figure >= 0 for figure in figures)
            or type(report.capacity) is not int
            or report.capacity < 1
            or not all(type(word) is bool for word in told)
            or not isinstance(report.holder, str | None)
        ):
            raise ProtocolError("A report with figures that can't be.")
        return report
