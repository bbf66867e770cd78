"""A report as a run makes it, with made-up figures."""

from typing import Any

from cloudserve.cli.bench.contenders import CONTENDERS


def spread(value: float) -> dict[str, float]:
    """Returns measurements around a value."""
    return {"median": value, "low": value * 0.9, "high": value * 1.1}


def made_up() -> dict[str, Any]:
    """Returns a whole report, in which every goal is met."""
    warm = {
        contender.name: {
            "perSecond": spread(40_000.0 if contender.kind != "peer" else 4_000.0),
            "share": spread(1.0 if contender.kind != "peer" else 0.1),
            "cpuMicroseconds": spread(20),
            "p99Ms": spread(3),
            "requests": 1_000,
        }
        for contender in CONTENDERS
    }
    cold: dict[str, Any] = {"calls": 200, "p50Ms": 5.0, "p99Ms": 20.0}
    calls = {"aloneMs": spread(1), "besideMs": spread(1.5), "times": spread(1.5)}
    imports = {"importMs": spread(30), "p50MsWithoutImport": 6.0}
    burst = {"calls": 200, "p50Ms": spread(100), "p99Ms": spread(200)}
    return {
        "date": "2026-11-23T22:00:00+00:00",
        "plan": "full",
        "busyElsewherePercent": 1.0,
        "machine": {
            "processor": "A <quick> processor & friends",
            "cores": 2,
            "memoryGiB": 24,
            "system": "Linux 6.18",
            "python": "3.11.7",
            "node": "20.20.2",
            "wrk": "4.1.0",
            "cloudserve": "0.1.0",
            "tier": "A",
        },
        "scenarios": {
            "throughput": {"8": warm, "32": warm},
            "cold": {
                "python": cold,
                "node": cold,
                "python-requests": cold | imports,
                "node-addon": cold | imports,
            },
            "burst": {"python": burst, "node": burst},
            "many": {
                "functions": 2_000,
                "workers": 64,
                "keptKibEach": 4.0,
                "python": {"p50Ms": 8.0, "p99Ms": 20.0},
                "node": {"p50Ms": 40.0, "p99Ms": 90.0},
            },
            "idle": {"workers": 50, "python": {"mib": 100.0}, "node": {"mib": 300.0}, "mixed": {"mib": 200.0}},
            "growth": {"calls": 270_000, "residentMib": 150.0, "grownMib": 0.1, "over": 200_000},
            "neighbours": {"neighbours": 8, "mean": calls, "p95": calls},
            "walls": {name: {"speed": spread(0.99), "cpu": spread(1.01)} for name in ("python", "node")},
        },
    }
