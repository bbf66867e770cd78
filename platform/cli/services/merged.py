"""Several processes of one service, as one: their metrics with a label each, and one verdict on whether traffic comes.

The processes share their listening sockets, so a probe of those reaches any of them. Each has an internal port of its
own on loopback, which the process that watches over them asks; its answers are the service's.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx2
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from cloudserve.core.readiness import Readiness

ASK_SECONDS: Final = 5.0
LABEL: Final = "process"


class Merged:
    """Asks the processes at these addresses, by the number of each."""

    def __init__(self, addresses: Mapping[int, str]) -> None:
        self._addresses = addresses
        self._http = httpx2.AsyncClient(timeout=ASK_SECONDS, trust_env=False)
        self.leaving = False

    async def close(self) -> None:
        """Lets go of the connections."""
        await self._http.aclose()

    async def check(self) -> Readiness:
        """Says ready when any process is: one that starts again has not been given the sockets, and takes nothing."""
        answers = await self._ask("/readyz")
        checks = {}
        ready = False
        for number, answer in answers.items():
            if answer is None:
                checks[f"{number}.process"] = "no answer"
                continue
            found = answer.json()
            ready = ready or found["status"] == "ready"
            checks |= {f"{number}.{need}": verdict for need, verdict in found["checks"].items()}
        return Readiness(ready and not self.leaving, checks)

    async def scrape(self) -> bytes:
        """Returns the metrics of all of them; those of a process that does not answer are left out."""
        answers = await self._ask("/metrics")
        texts = {number: answer.text for number, answer in answers.items() if answer is not None}
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Families(labelled(texts)))
        return generate_latest(registry)

    async def _ask(self, path: str) -> dict[int, httpx2.Response | None]:
        answers = await asyncio.gather(*(self._get(address + path) for address in self._addresses.values()))
        return dict(zip(self._addresses, answers, strict=True))

    async def _get(self, url: str) -> httpx2.Response | None:
        try:
            return await self._http.get(url)
        except httpx2.HTTPError:
            return None


def labelled(texts: Mapping[int, str]) -> list[Metric]:
    """Returns the families of several texts, each sample with the number of the process that it is of."""
    families: dict[str, Metric] = {}
    for number, text in texts.items():
        for found in text_string_to_metric_families(text):
            family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
            for sample in found.samples:
                family.add_sample(sample.name, {**sample.labels, LABEL: str(number)}, sample.value)
    return list(families.values())


class _Families:
    """Collected already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """Returns them."""
        return self._families
