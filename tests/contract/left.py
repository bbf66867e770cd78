"""What is there of a sandbox at a moment: counted before and after, it shows whether anything was left."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cloudserve.core.confine.cgroups.places import Surroundings
from tests.contract.sandboxes import children

_ATTEMPTS = 100


@dataclass(frozen=True)
class Left:
    """Counts of everything that a worker could leave: `mounts` in all mount tables of the tree, `descriptors` of this
    process, of the warden and of the zygote.
    """

    processes: int
    mounts: int
    groups: int
    folders: int
    descriptors: tuple[int, ...]

    @classmethod
    def now(cls, sandbox: Any, root: Path) -> Self:
        """Counts."""
        warden = sandbox._launcher._guard._process.pid
        zygote = [int(pid) for pid in Path(f"/proc/{warden}/task/{warden}/children").read_text().split()]
        around = Surroundings.read(Path("/proc"))
        parents = [folder / around.own_name() for folder in {*around.folders.values(), around.unified} if folder]
        tree = [os.getpid(), *children()]
        return cls(
            processes=len(tree),
            mounts=sum(_lines(f"/proc/{pid}/mountinfo") for pid in tree),
            groups=sum(path.is_dir() for parent in parents if parent.exists() for path in parent.iterdir()),
            folders=sum(1 for _ in (root / "work").rglob("*")),
            descriptors=tuple(len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), warden, *zygote[:1])),  # noqa: PTH208
        )

    @classmethod
    async def settled(cls, sandbox: Any, root: Path, *, like: Self | None = None) -> Self:
        """Counts when nothing changes any more, or as soon as all is as it was before.

        What the sandbox keeps in stock is made anew behind the calls that took it.
        """
        last, same = cls.now(sandbox, root), 0
        for _ in range(_ATTEMPTS):
            await asyncio.sleep(0.05)
            now = cls.now(sandbox, root)
            same = same + 1 if now == last else 0
            last = now
            if (like is None and same == 10) or now == like:
                break
        return last


def _lines(file: str) -> int:
    try:
        return len(Path(file).read_text().splitlines())
    except OSError:
        return 0
