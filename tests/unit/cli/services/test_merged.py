"""Several processes of one service answer as one."""

import contextlib
import socket
from collections.abc import AsyncIterator

import httpx2
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from cloudserve.cli.services.internal import Internal, Scrape
from cloudserve.cli.services.merged import Merged
from cloudserve.cli.serving import Origin, serving
from cloudserve.core.readiness import OK, Readiness


class Counted:
    """A counter and a histogram."""

    def __init__(self, count: int) -> None:
        self._count = count

    def collect(self) -> list[Metric]:
        """Returns them."""
        calls = CounterMetricFamily("calls", "Calls.", labels=["function"])
        calls.add_metric(['say "hi"\\'], self._count)
        spent = HistogramMetricFamily("spent_seconds", "Spent.")
        spent.add_metric([], [("0.1", 1), ("+Inf", self._count)], 2.5)
        return [calls, spent]


@contextlib.asynccontextmanager
async def internal(count: int, *, ready: bool) -> AsyncIterator[str]:
    """Serves the internal port of one process, and yields its address."""

    async def check() -> Readiness:
        return Readiness(ready, {"store": OK if ready else "Unavailable"})

    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving([Origin(Internal(check, Scrape([Counted(count)])), [listener], drain_seconds=1)]):
        yield address


async def test_metrics_carry_the_number_of_their_process() -> None:
    """Of a process that does not answer there are none."""
    async with internal(3, ready=True) as one, internal(4, ready=True) as two:
        merged = Merged({1: one, 2: two, 3: "http://127.0.0.1:1"})
        lines = (await merged.scrape()).decode().splitlines()
        await merged.close()
    assert 'calls_total{function="say \\"hi\\"\\\\",process="1"} 3.0' in lines
    assert 'calls_total{function="say \\"hi\\"\\\\",process="2"} 4.0' in lines
    assert 'spent_seconds_bucket{le="+Inf",process="2"} 4.0' in lines
    assert 'spent_seconds_sum{process="1"} 2.5' in lines
    assert lines.count("# TYPE calls_total counter") == 1
    assert any(line.startswith('process_resident_memory_bytes{process="1"} ') for line in lines)


async def test_one_ready_process_is_enough() -> None:
    """The verdict names the needs of each."""
    async with internal(1, ready=True) as one, internal(1, ready=False) as two:
        merged = Merged({1: one, 2: two, 3: "http://127.0.0.1:1"})
        found = await merged.check()
        assert found.ready
        assert found.checks == {"1.store": "ok", "2.store": "Unavailable", "3.process": "no answer"}
        merged.leaving = True
        assert not (await merged.check()).ready
        await merged.close()


async def test_the_internal_port_answers_three_things() -> None:
    """And refuses everything else."""
    async with internal(1, ready=False) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        unready = await http.get("/readyz")
        assert (unready.status_code, unready.json()["status"]) == (503, "not-ready")
        assert (await http.get("/metrics")).headers["content-type"].startswith("text/plain")
        assert (await http.get("/run/ada/hello")).status_code == 404
        assert (await http.post("/metrics")).status_code == 405
