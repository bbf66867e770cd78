"""Where a worker finds its function's code and dependencies.

With a root of its own (tiers A and B) they are mounted below /box once it is known which function it serves. Elsewhere
it reads them where the host has them, and for Node.js a folder of the worker's own brings them together, so that
Node's look-up finds the dependencies beside the code.
"""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloudserve.core.confine.tiers import Tier
from cloudserve.sandbox.abc import Deployment

HOME: Final = "/tmp"  # noqa: S108 - a worker's own
"""The home and working folder of a worker with a root of its own."""

_BOX: Final = "/box"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders as the worker sees them; `trees` are those of the host that are to be mounted, by their place."""

    code: str
    layer: str | None = None
    trees: Mapping[str, Path] = field(default_factory=dict)


def has_own_root(tier: Tier) -> bool:
    """Tells whether workers have a root of their own, in which code can be mounted late."""
    return tier in ("A", "B")


def needs_paths(tier: Tier, deployment: Deployment) -> bool:
    """Tells whether a worker must know at its start what it will read: its walls can't be opened any more."""
    return tier == "C" and (deployment.runtime == "python" or deployment.layer is not None)


def paths(deployment: Deployment) -> list[str]:
    """Returns what a worker reads of the host, where it has no root of its own."""
    return [str(path) for path in (deployment.code, deployment.layer) if path is not None]


async def lay_out(tier: Tier, deployment: Deployment, folder: Path | None) -> Layout:
    """Returns the layout for a worker and prepares its folder, where it has one on the host."""
    code, layer = deployment.code, deployment.layer
    if folder is None:
        name = "deps" if deployment.runtime == "python" else "node_modules"
        trees = {"fn": code}
        if layer is not None:
            trees[name] = layer if deployment.runtime == "python" else layer / "node_modules"
        return Layout(f"{_BOX}/fn", f"{_BOX}/{name}", trees)
    if deployment.runtime == "python":
        return Layout(str(code), str(layer) if layer is not None else None)
    own = folder / "fn"
    if tier == "C" and layer is None:
        await asyncio.to_thread(shutil.copytree, code, own, symlinks=True)
    else:
        own.symlink_to(code, target_is_directory=True)
    if layer is not None:
        (folder / "node_modules").symlink_to(layer / "node_modules", target_is_directory=True)
    return Layout(str(own))
