"""Walls for tests that run a build's tools themselves; what jailers are forked from is shared by all of them."""

import functools
from pathlib import Path

from cloudserve.api.build.jail import Jail
from cloudserve.api.build.keeper import Keeper
from cloudserve.core.confine.tiers import Tier, detect


@functools.cache
def keeper() -> Keeper:
    """Returns the one that conftest.py closes."""
    return Keeper()


def jail(folder: Path, at_most: Tier = "A") -> Jail:
    """Returns a jail with its homes in a folder."""
    return Jail(detect(at_most), folder / "homes", keeper())
