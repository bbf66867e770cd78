"""What the S3 tests run as processes of their own: `python -m tests.contract.s3_worker JOB ACCESS KEY FILE`."""

import asyncio
import resource
import sys
from pathlib import Path

from cloudserve.core.objects.minio import S3Objects
from tests.servers.s3 import S3Access


async def put(objects: S3Objects, key: str, file: Path) -> None:
    """Puts a file."""
    await objects.put(key, file)


async def there_and_back(objects: S3Objects, key: str, file: Path) -> None:
    """Puts a small object and fetches it, then the file; prints by how many bytes the second has raised the peak."""
    for content in (b"small", file):
        before = _peak()
        info = await objects.put(key, content)
        target = file.with_suffix(".back")
        await objects.fetch(key, target, sha256=info.sha256)
        target.unlink()
    print(_peak() - before)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # getrusage(2): kilobytes


async def _main(job: str, access: str, key: str, file: str) -> None:
    objects = S3Access.load(Path(access)).objects()
    await objects.open()
    await {"put": put, "there-and-back": there_and_back}[job](objects, key, Path(file))
    await objects.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
