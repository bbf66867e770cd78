"""Deploys: from a request to a durable build, and from a finished build to the version that is served."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cloudserve.api.build.request import DeployChanges, DeployRequest
from cloudserve.core.config import Settings
from cloudserve.core.models.function import Build, Function, Version
from cloudserve.core.models.owner import Owner
from cloudserve.core.objects.abc import Objects
from cloudserve.core.store.abc import Store

OnLive = Callable[[Function, Version], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a version: `filename` and `code` of its entry, and the names of all its files."""

    filename: str
    code: str
    files: tuple[str, ...]


class Deployments:
    """Takes deploys, builds them and makes them live. `start` before the first, `close` after the last.

    What is wrong with a request raises `Problem` (422, or 409 for a name in use) and leaves no row and no object.
    """

    def __init__(self, settings: Settings, store: Store, objects: Objects, *, on_live: OnLive | None = None) -> None:
        self._settings = settings
        self._store = store
        self._objects = objects
        self._on_live = on_live

    async def start(self) -> None:
        """Starts the build worker; builds that a crash cut off are taken up."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stops the build worker; a build under way is left to the next start."""
        raise NotImplementedError

    async def deploy(self, owner: Owner, request: DeployRequest, *, created_by: str) -> tuple[Function, Build]:
        """Makes a function and asks for its first build. `created_by` is the id of who asked."""
        raise NotImplementedError

    async def redeploy(
        self, owner: Owner, function: Function, changes: DeployChanges, *, created_by: str
    ) -> tuple[Function, Build]:
        """Asks for a new version of a function."""
        raise NotImplementedError

    async def rollback(self, owner: Owner, function: Function, number: int) -> Function:
        """Makes an earlier version live. Raises the 404 for a version that does not exist."""
        raise NotImplementedError

    async def delete(self, owner: Owner, function: Function) -> None:
        """Deletes a function and all that was made for it."""
        raise NotImplementedError

    async def source_of(self, function: Function) -> Sources | None:
        """Returns the newest sources; None when there are none yet."""
        raise NotImplementedError
