"""What a gateway tells Prometheus beside the calls: how far behind its records and its caches are."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from cloudserve.gateway.changes import ChangeFeed
from cloudserve.gateway.meters import Meters
from cloudserve.gateway.recorder import Recorder


class GatewayMetrics:
    """Reads the parts of one gateway when somebody asks."""

    def __init__(self, meters: Meters, feed: ChangeFeed, recorder: Recorder) -> None:
        self._meters = meters
        self._feed = feed
        self._recorder = recorder

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics."""
        yield from self._meters.collect()
        yield GaugeMetricFamily(
            "cloudserve_gateway_staleness_seconds",
            "Since the store last said what has changed; cached answers may be this old.",
            self._feed.staleness,
        )
        yield GaugeMetricFamily(
            "cloudserve_gateway_fresh",
            "1 while cached answers may be served, 0 when they are too old.",
            self._feed.fresh,
        )
        recorder = self._recorder
        yield GaugeMetricFamily(
            "cloudserve_spool_waiting_bytes", "Records of calls that wait for the store.", recorder.waiting_bytes
        )
        yield GaugeMetricFamily(
            "cloudserve_spool_fullness_ratio", "The same as a share of what the spool may hold.", recorder.fullness
        )
        yield CounterMetricFamily(
            "cloudserve_spool_lost_bytes", "Records given up because the spool was full.", recorder.lost_bytes
        )
        yield CounterMetricFamily(
            "cloudserve_spool_unwritten_records", "Records that the disk did not take.", recorder.unwritten
        )
