"""How much is in a worker's folder, for hosts on which nothing but a look can bound it."""

import os
from typing import NamedTuple

_BLOCK: int = 512


class Contents(NamedTuple):
    """What a folder holds: what its files take up on the disk, and how many files and folders there are."""

    size: int
    inodes: int


def contents(folder: str, *, most_inodes: int) -> Contents:
    """Counts what is in a folder, links not followed; stops above `most_inodes`, so that a look is bounded too."""
    size = inodes = 0
    folders = [folder]
    while folders and inodes <= most_inodes:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    inodes += 1
                    if inodes > most_inodes:
                        break
                    size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:  # it went away meanwhile, or its owner closed it to us, who may be anybody
            continue
    return Contents(size, inodes)
