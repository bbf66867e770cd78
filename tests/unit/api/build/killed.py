"""A process that takes a deploy, and is killed while an npm that never ends holds up its build."""

import asyncio
import sys
from pathlib import Path

from cloudserve.api.build import worker
from tests.unit.api.build.deploying import archive, deploying

MANIFEST = '{"dependencies": {"is-number": "7.0.0"}}'
CODE = "module.exports = ({ n }) => require('is-number')(n);"


async def main(folder: Path) -> None:
    """Asks for a build and tells when it has begun."""
    worker.LEASE_SECONDS, worker.EXTEND_SECONDS = 2.0, 0.5
    async with deploying(folder) as one:
        function, build = await one.ask("hello", archive(package__json=MANIFEST, index__js=CODE))
        while build.status == "pending" or not build.output:
            await asyncio.sleep(0.02)
            build = await one.store.builds.get(one.owner.id, build.id) or build
        print(function.id, build.id, flush=True)
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
