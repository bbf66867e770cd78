"""How the platform of a local stack is doing, asked of the platform and of its supervisor's record."""

import time
from pathlib import Path
from typing import Any

import httpx2
import psutil

from pulumi_cloudserve.provider.running import Running


def health(outputs: dict[str, Any]) -> dict[str, Any]:
    """Returns `state` (not-created, stopped, unhealthy, healthy), and what is known besides."""
    if "url" not in outputs:
        return {"state": "not-created"}
    running = Running(Path(outputs["dataDir"]))
    record = running.record
    supervisor = running.supervisor()
    known: dict[str, Any] = {
        "state": "stopped",
        "url": outputs["url"],
        "runUrl": outputs["runUrl"],
        "dataDir": outputs["dataDir"],
        "log": f"{outputs['dataDir']}/logs/platform.log",
    }
    if supervisor is None:
        return known
    known |= {
        "state": "unhealthy",
        "supervisor": supervisor.pid,
        "process": record.get("child"),
        "restarts": record.get("restarts", 0),
        "uptimeSeconds": _uptime(record.get("child")),
    }
    platform = _get(outputs["url"] + "/healthz")
    if platform is not None and platform.get("instance") == record.get("instance"):
        known["state"] = "healthy"
        # With the key, for the layers of the walls are told to administrators alone. The instance was its own.
        key = "" if outputs["adminApiKeyStale"] else outputs["adminApiKey"]
        told = _get(outputs["url"] + "/api/platform", key) or {}
        known |= {name: told[name] for name in ("version", "walls", "sandbox") if name in told}
    return known


def _uptime(pid: int | None) -> int | None:
    try:
        return int(time.time() - psutil.Process(pid).create_time()) if pid else None
    except psutil.Error:
        return None


def _get(url: str, key: str = "") -> dict[str, Any] | None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx2.get(url, headers=headers, timeout=5, trust_env=False)
        answer.raise_for_status()
        told = answer.json()
    except (httpx2.HTTPError, ValueError):
        return None
    return told if isinstance(told, dict) else None
