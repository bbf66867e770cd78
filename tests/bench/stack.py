"""The whole stack in one process, as the platform composes it: keys, limits, usage and logs are on.

Prints the key, then the port. On SIGUSR1 it prints how many executions the store has counted.
"""

import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from cloudserve.core.confine.tiers import detect
from cloudserve.gateway.http import HttpProtocol
from cloudserve.sandbox.pool import LocalSandbox
from tests.bench.plain import serve
from tests.unit.gateway.support import Platform, running

SOURCES = {"python": "def handler(context):\n    return 'hello'\n", "node": "module.exports = () => 'hello'\n"}


async def count(platform: Platform, owner_id: str) -> None:
    """Prints how many executions the store has counted."""
    print(sum(one.stats.executed for one in await platform.store.functions.list(owner_id)), flush=True)


async def main(folder: Path) -> None:
    """Runs until the process is ended."""
    sandbox = LocalSandbox(
        work_dir=folder / "work",
        max_workers=64,
        idle_seconds=300,
        queue_seconds=10,
        max_response_bytes=100 << 20,
        protection=detect(),
    )
    async with running(folder, sandbox, rate_per_second=1_000_000, rate_burst=1_000_000) as platform:
        owner = await platform.owner("alice")
        for runtime, source in SOURCES.items():
            function = await platform.function(owner, runtime, live=False)
            await platform.deploy(function, source, runtime=runtime)
            await platform.gateway.prewarm(function)
        print(await platform.key(owner), flush=True)
        tasks = set()
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGUSR1, lambda: tasks.add(asyncio.create_task(count(platform, owner.id)))
        )
        await serve(platform.gateway.app, http=HttpProtocol)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
