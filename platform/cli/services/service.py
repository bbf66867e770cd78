"""A service, composed and started: what its process serves, and what it tells of itself."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.metrics_core import Metric

from cloudserve.cli.serving import Application
from cloudserve.cli.supervision.listeners import Origin
from cloudserve.core.readiness import Readiness


class Collector(Protocol):
    """Whatever has metrics to tell."""

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """What a process runs. `origins` are its applications by the name of the listener; `leave` makes it not ready."""

    origins: Mapping[Origin, Application]
    check: Callable[[], Awaitable[Readiness]]
    leave: Callable[[], None]
    collectors: Sequence[Collector]
