"""The objects of an export in a home: where each is or goes to, and the way there."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cloudserve.core.objects.abc import Objects
from cloudserve.core.transfer.archive import Member
from cloudserve.core.transfer.exported import ExportFile
from cloudserve.core.transfer.failures import Damaged
from cloudserve.core.transfer.home import Progress


@dataclass(slots=True)
class ObjectsPlan:
    """What is missing and what is there, by the key here; `places` has that key for each object with another one."""

    missing: dict[str, Member] = field(default_factory=dict)
    there: dict[str, Member] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """What is missing, in bytes."""
        return sum(member.size for member in self.missing.values())


async def plan_objects(objects: Objects, file: ExportFile) -> ObjectsPlan:
    """Looks up which objects are there.

    A key may be there with another content: two platforms that made a layer of the same lock have each packed their
    own. Versions name the content they want by its hash, so the second one gets a key of its own. Raises `Damaged`.
    """
    plan = ObjectsPlan()
    for key, member in file.objects():
        place = key
        try:
            here = await objects.stat(place)
        except ValueError as error:
            raise Damaged(f"it has an object of a name that none can have ({error}).") from None
        if here is not None and here.sha256 != member.sha256:
            plan.places[key] = place = f"{key}.{member.sha256}"
            here = await objects.stat(place)
        (plan.missing if here is None else plan.there)[place] = member
    return plan


async def put_objects(objects: Objects, file: ExportFile, plan: ObjectsPlan, on_progress: Progress) -> None:
    """Puts what is missing, and makes the others as new, so that none is collected before its version is there.

    Raises `ObjectsError`, OSError, and `Damaged` for a file that was changed since it was checked.
    """
    for key, member in plan.there.items():
        if not await objects.touch(key):
            plan.missing[key] = member  # it was collected since it was looked up
    done, total = 0, plan.size
    with tempfile.TemporaryDirectory(prefix="cloudserve-import-") as folder:
        copy = Path(folder) / "object"
        for key, member in plan.missing.items():
            await asyncio.to_thread(file.extract, member, copy)
            info = await objects.put(key, copy)
            copy.unlink()
            if info.sha256 != member.sha256:
                await objects.delete(key)
                raise Damaged(f"{member.name} was changed after it was checked. Remedy: import again.")
            done += member.size
            on_progress("objects", done, total)
