"""What a worker needs to serve calls, however it does so."""

from dataclasses import dataclass

from cloudserve.sandbox.runtimes.python.logs import Logs
from cloudserve.sandbox.runtimes.python.shapes.abc import Handler
from cloudserve.sandbox.runtimes.python.wire import Wire


@dataclass(frozen=True, slots=True)
class Service:
    """A loaded function and the wire its calls come over."""

    wire: Wire
    logs: Logs
    handler: Handler
    code: str
    timeout: float
    concurrency: int
