"""Metrics of what a service is composed of: its version, its workers, and how gateways and sandboxes see each other."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from cloudserve.core.version import VERSION
from cloudserve.sandbox.abc import SandboxStats
from cloudserve.sandbox.remote.client import RemoteSandbox
from cloudserve.sandbox.remote.host import SandboxHost


class About:
    """Says which service this is, of which version."""

    def __init__(self, role: str) -> None:
        self._role = role

    def collect(self) -> Iterator[Metric]:
        """Yields the metric."""
        about = GaugeMetricFamily("cloudserve_service", "Always 1: what runs here.", labels=["role", "version"])
        about.add_metric([self._role, VERSION], 1)
        yield about


class Workers:
    """Reads a sandbox's `stats` when somebody asks."""

    def __init__(self, stats: Callable[[], SandboxStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics."""
        stats = self._stats()
        yield GaugeMetricFamily("cloudserve_sandbox_workers", "Workers there are.", stats.workers)
        yield GaugeMetricFamily("cloudserve_sandbox_busy_workers", "Workers that have a call.", stats.busy)
        yield GaugeMetricFamily("cloudserve_sandbox_waiting_calls", "Calls that wait for a worker.", stats.waiting)
        yield CounterMetricFamily("cloudserve_sandbox_starts", "Workers that were started.", stats.starts)
        yield CounterMetricFamily("cloudserve_sandbox_kills", "Workers that were ended by the sandbox.", stats.kills)


class Hosts:
    """Tells what a gateway knows of its sandbox hosts."""

    def __init__(self, remote: RemoteSandbox) -> None:
        self._remote = remote

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics."""
        yield GaugeMetricFamily("cloudserve_gateway_sandboxes", "Sandbox hosts that are members.", self._remote.hosts)
        yield GaugeMetricFamily(
            "cloudserve_gateway_reachable_sandboxes", "Those of them that calls can be sent to.", self._remote.reachable
        )


class Gateways:
    """Tells what a sandbox host knows of its gateways."""

    def __init__(self, host: SandboxHost) -> None:
        self._host = host

    def collect(self) -> Iterator[Metric]:
        """Yields the metric."""
        yield GaugeMetricFamily("cloudserve_sandbox_gateways", "Gateways that are connected.", self._host.gateways)
