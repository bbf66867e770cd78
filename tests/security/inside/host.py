"""A platform under attack: runs the real sandbox and takes orders as lines of JSON on standard input.

Every line is `{"id": n, "do": order, …}` and is answered by `{"id": n, …}`; calls run at once. It runs where the tests
put it: as root, as an ordinary user, in a container. What it says is seen from the platform's side, not the function's:
its canaries count what reached them, its processes are those the kernel lists.
"""

import asyncio
import itertools
import json
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from canaries import Canaries

from cloudserve.core.confine.tiers import detect
from cloudserve.core.models.function import Egress, Limits
from cloudserve.sandbox.abc import Call, Deployment, InvocationFailed, Outcome
from cloudserve.sandbox.pool import LocalSandbox

MAX_RESPONSE_BYTES = 8 << 20


class Host:
    """Answers orders until `close`."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._deployments: dict[str, Deployment] = {}
        self._canaries: Canaries
        self._sandbox: LocalSandbox
        self._folder: Path

    async def greet(self) -> dict[str, Any]:
        """Says that it runs."""
        return {}

    async def start(self, *, tier: str, without: list[str], folder: str) -> dict[str, Any]:
        """Starts the sandbox with the best walls there are, up to a tier, and lays out the canaries.

        Layers that it is to be `without` count as off, as if this kernel were older.
        """
        self._folder = Path(folder)
        found = await asyncio.to_thread(detect, tier)
        layers = (replace(layer, on=layer.on and layer.name not in without) for layer in found.layers)
        protection = replace(found, layers=tuple(layers))
        self._canaries = Canaries(self._folder)
        await self._canaries.start()
        self._sandbox = LocalSandbox(
            work_dir=self._folder / "work",
            max_workers=12,
            idle_seconds=600,
            queue_seconds=10,
            max_response_bytes=MAX_RESPONSE_BYTES,
            protection=protection,
        )
        await self._sandbox.start()
        return {"protection": protection.as_dict(), "platform": _family(), **self._canaries.places()}

    async def deploy(self, *, name: str, runtime: str, code: str, entry: str, **rest: Any) -> dict[str, Any]:
        """Has a version ready, of files that the tests have written."""
        number = next(self._numbers)
        self._deployments[name] = Deployment(
            version_id=f"ver_{number}",
            function_id=f"fun_{name}",
            owner_id=rest.get("owner", f"own_{name}"),
            number=number,
            runtime="node" if runtime == "node" else "python",
            code=Path(code),
            entry=entry,
            handler=None,
            layer=None,
            limits=Limits(**rest.get("limits", {})),
            egress=Egress(**rest.get("egress", {})),
            environment=rest.get("environment", {}),
            function_name=name,
        )
        return {}

    async def call(self, *, name: str, body: Any, path: str = "/") -> dict[str, Any]:
        """Calls a function and tells its answer and what became of it."""
        call = Call(
            execution_id=f"exe_{next(self._numbers)}",
            method="POST",
            path=path,
            query=b"",
            headers=((b"content-type", b"application/json"),),
            body=json.dumps(body).encode(),
        )
        try:
            answer = await self._sandbox.invoke(self._deployments[name], call)
            size, parts = 0, []
            if answer.body is None:
                async for part in answer.parts():
                    size += len(part)
                    parts.append(part[: max(0, (1 << 20) - size)])
            content = b"".join(parts) if answer.body is None else answer.body
        except InvocationFailed as failed:
            return {"status": failed.status, "message": failed.message, **_told(failed.outcome)}
        return {"status": answer.status, "body": content.decode("utf-8", "replace"), **_told(answer.outcome)}

    async def retire(self, *, name: str) -> dict[str, Any]:
        """Ends a function's workers, and waits until they are gone."""
        pids = self._pids(name)
        await self._sandbox.retire(f"fun_{name}")
        async with asyncio.timeout(10):
            while any(Path(f"/proc/{pid}").exists() for pid in pids):  # noqa: ASYNC110 - the kernel's doing
                await asyncio.sleep(0.02)
        return {}

    async def look(self) -> dict[str, Any]:
        """Tells how the platform is: what reached its canaries, its workers, its processes, what it uses."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            **self._canaries.counts(),
            "workers": {name: self._pids(name) for name in self._deployments},
            "folders": sorted(path.name for path in (self._folder / "work" / "workers").iterdir()),
            "platform": _family(),
            "processes": _descendants(os.getpid()),
            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "nice": os.getpriority(os.PRIO_PROCESS, 0),
            "peak_mb": usage.ru_maxrss / 1024,
        }

    async def reset(self) -> dict[str, Any]:
        """Makes the canaries anew, for what comes next."""
        self._canaries.reset()
        return {}

    async def close(self) -> dict[str, Any]:
        """Ends the sandbox; nothing is left of it."""
        await self._sandbox.close(grace_seconds=0)
        self._canaries.close()
        async with asyncio.timeout(5):  # the kernel may take a moment to end what it was told to
            while _descendants(os.getpid()):  # noqa: ASYNC110 - the kernel's doing
                await asyncio.sleep(0.02)
        return {}

    def _pids(self, name: str) -> list[int]:
        group = self._sandbox._groups.get(self._deployments[name].version_id)
        return [worker.pid for worker in group.workers] if group is not None else []


def _told(outcome: Outcome) -> dict[str, Any]:
    return {
        "reason": outcome.reason,
        "error": outcome.error,
        "memory_mb": outcome.memory_mb,
        "duration_ms": outcome.duration_ms,
        "logs": len(outcome.logs),
        "logged": sum(len(entry.message) for entry in outcome.logs),
        "truncated": outcome.logs_truncated,
        "log": [entry.message[:500] for entry in outcome.logs[:20]],
        "cold": outcome.cold is not None,
    }


def _family() -> list[int]:
    """Returns the platform's own processes that a worker may try: itself, and what it started directly or indirectly.

    The workers are among them; whoever attacks from one of these leaves its own out.
    """
    return [os.getpid(), *(int(pid) for pid in _descendants(os.getpid()))][:4]


def _descendants(root: int) -> dict[str, str]:
    """Returns the command lines of the living processes below one."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                parents[int(folder.name)] = int(parent)
    found, todo = {}, [root]
    for pid in todo:
        for child, parent in parents.items():
            if parent == pid:
                todo.append(child)
                try:
                    found[str(child)] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
                except OSError:
                    continue
    return found


async def main() -> None:
    """Takes orders until there are no more."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=16 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin.buffer)
    host = Host()
    tasks: set[asyncio.Task[None]] = set()

    async def obey(number: int, order: str, parts: dict[str, Any]) -> None:
        try:
            answer = await getattr(host, order)(**parts)
        except Exception as error:  # noqa: BLE001 - whoever gave the order is told
            answer = {"failed": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps({"id": number, **answer}) + "\n")
        sys.stdout.flush()

    while line := await orders.readline():
        message = json.loads(line)
        task = loop.create_task(obey(message.pop("id"), message.pop("do"), message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
