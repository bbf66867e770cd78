"""Deploys: from a request to a durable build, and from a finished build to the version that is served."""

import asyncio
import io
import logging
import tarfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from cloudserve.api.build.archive import ArchiveLimits
from cloudserve.api.build.builder import Builder, source_key
from cloudserve.api.build.checks import check_egress, check_environment, check_handler, check_secrets
from cloudserve.api.build.detect import Detected
from cloudserve.api.build.names import check_name
from cloudserve.api.build.request import DeployChanges, DeployRequest, SingleFile
from cloudserve.api.build.upload import Inbox
from cloudserve.api.build.worker import BuildWorker, OnLive, announce
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.errors import FieldError, Problem, invalid, not_found
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.function import Build, Function, Version, VersionSpec
from cloudserve.core.models.owner import Owner
from cloudserve.core.objects.abc import Missing, Objects, ObjectsError
from cloudserve.core.store.abc import Store, Taken

ABANDONED: Final = timedelta(seconds=60)
"""After this long, a function without a version and a build is the rest of a deploy that a crash cut off."""

_UNFINISHED: Final = frozenset({"pending", "deploying"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a version: `filename` and `code` of its entry, and the names of all its files."""

    filename: str
    code: str = field(repr=False)
    files: tuple[str, ...] = ()


class Deployments:
    """Takes deploys, builds them and makes them live. `start` before the first, `close` after the last.

    What is wrong with a request raises the 422 and leaves no row and no object.
    `on_live` is called with each version that has gone live. `protection` is what this host gives; builds use it.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        objects: Objects,
        *,
        protection: Protection,
        on_live: OnLive | None = None,
    ) -> None:
        self._store = store
        self._objects = objects
        self._on_live = on_live
        self._inbox = Inbox(DataFolder(settings.data_dir).work / "inbox", ArchiveLimits.of(settings))
        self._builder = Builder(settings, store, objects, protection)
        self._worker = BuildWorker(store, self._builder.build, on_live)

    async def start(self) -> None:
        """Starts the build worker; builds that a crash cut off are taken up."""
        await self._inbox.start()
        await self._builder.start()
        self._worker.start()

    async def close(self) -> None:
        """Stops the build worker; a build under way is left to the next start."""
        await self._worker.close()
        await self._builder.close()

    async def deploy(self, owner: Owner, request: DeployRequest, *, created_by: str) -> tuple[Function, Build]:
        """Makes a function and asks for its first build. `created_by` is the id of who asked."""
        check_name(request.name)
        async with self._inbox.receive(request.upload, runtime=request.runtime, entry=request.entry) as received:
            spec = _spec(request, received.detected)
            await self._builder.check(received.folder, received.detected)
            function = Function(
                owner_id=owner.id,
                name=request.name,
                auth=request.auth,
                cors=request.cors,
                latest_version=1,
                sequence=1,
            )
            await self._add(function)
            try:
                build = await self._ask(function, (1, 1), spec, received.archive, created_by=created_by)
            except BaseException:
                # A build whose row was written although the answer got lost keeps its function and its sources.
                if await self._store.functions.forget(owner.id, function.id):
                    with suppress(ObjectsError):  # then they are left to the collector
                        await self._objects.delete(source_key(function.id, 1))
                raise
        return function, build

    async def redeploy(
        self, owner: Owner, function: Function, changes: DeployChanges, *, created_by: str
    ) -> tuple[Function, Build]:
        """Asks for a new version of a function.

        Changed limits, environment, secrets, egress or handler alone make a version of what is live, at once and
        without a build, unless a build is under way. All else builds: what is sent, or the newest sources again.
        """
        latest = next(iter(await self._store.builds.list(owner.id, function.id, limit=1)), None)
        live = await self._live(function)
        keeps_sources = changes.upload is None and changes.runtime is None and changes.entry is None
        under_way = latest is not None and latest.status in _UNFINISHED
        if keeps_sources and live is not None and not under_way and _changes_settings(changes):
            build = await self._reuse(function, live, _changed(live.spec, changes), created_by)
        elif latest is not None:
            build = await self._rebuild(function, latest, changes, created_by)
        else:
            raise invalid(FieldError("archive", "There are no sources to build.", None, "Send them with the request."))
        return await self._again(function), build

    async def rollback(self, owner: Owner, function: Function, number: int) -> Function:
        """Makes an earlier version live. Raises the 404 for a version that does not exist."""
        version = await self._store.versions.get(owner.id, function.id, number)
        if version is None:
            raise not_found(f"Version {number}")
        sequence = await self._store.functions.next_sequence(owner.id, function.id)
        if sequence is None:
            raise not_found("The function")
        return await self._make_live(function, version, sequence)

    async def delete(self, owner: Owner, function: Function) -> None:
        """Deletes a function and all that was made for it alone; layers are shared, so they stay."""
        if not await self._store.functions.delete(owner.id, function.id):
            raise not_found("The function")
        try:
            async for found in self._objects.list(f"{function.id}/"):
                await self._objects.delete(found.key)
        except ObjectsError:
            _log.warning("objects of the deleted function %s are left to the collector", function.id)

    async def source_of(self, function: Function) -> Sources | None:
        """Returns the sources of the newest deploy, or of the live version when those are gone; None without any."""
        newest: list[Build | Version] = list(await self._store.builds.list(function.owner_id, function.id, limit=1))
        if function.live_version is not None:
            live = await self._store.versions.get(function.owner_id, function.id, function.live_version)
            newest += [live] if live is not None else []
        for deployed in newest:
            with suppress(Missing):
                archive = await self._objects.read(deployed.source_path)
                return await asyncio.to_thread(_read_sources, archive, deployed.spec.entry)
        return None

    async def _add(self, function: Function) -> None:
        """Adds a function's row. Raises the 422 for a name that is in use."""
        try:
            with suppress(Taken):
                await self._store.functions.add(function)
                return
            other = await self._store.functions.by_name(function.owner_id, function.name)
            if other is not None and other.created_at < utc_now() - ABANDONED:
                await self._store.functions.forget(other.owner_id, other.id)
            await self._store.functions.add(function)
        except Taken:
            raise _name_taken(function.name) from None

    async def _ask(
        self, function: Function, taken: tuple[int, int], spec: VersionSpec, archive: Path, *, created_by: str
    ) -> Build:
        """Stores the sources and adds the build that the worker takes up, for the number and sequence taken."""
        number, sequence = taken
        stored = await self._objects.put(source_key(function.id, number), archive)
        build = Build(
            function_id=function.id,
            owner_id=function.owner_id,
            number=number,
            sequence=sequence,
            spec=spec,
            source_path=stored.key,
            source_hash=stored.sha256,
            created_by=created_by,
        )
        if sequence > 1:  # a new function is pending from the start
            await self._store.functions.set_status(function.owner_id, function.id, "pending", sequence=sequence)
        await self._store.builds.add(build)
        self._worker.wake()
        return build

    async def _rebuild(self, function: Function, latest: Build, changes: DeployChanges, created_by: str) -> Build:
        """Asks for a build of new sources, or of the newest ones again."""
        upload, spec, entry = changes.upload, latest.spec, changes.entry
        usual = spec.entry if changes.runtime in {None, spec.runtime} else None
        if isinstance(upload, SingleFile) and upload.filename == spec.entry == (entry or usual):
            # What `source_of` has shown comes back changed; the other files stay.
            archive, code = await self._newest_sources(latest), upload.code
            inbox = self._inbox.reopen(archive, runtime=changes.runtime, entry=spec.entry, code=code)
        elif upload is not None:
            inbox = self._inbox.receive(upload, runtime=changes.runtime, entry=entry, usual_entry=usual)
        else:
            archive = await self._newest_sources(latest)
            inbox = self._inbox.reopen(archive, runtime=changes.runtime, entry=entry or usual)
        async with inbox as received:
            spec = _changed(spec, changes, received.detected)
            await self._builder.check(received.folder, received.detected)
            taken = await self._next_version(function)
            return await self._ask(function, taken, spec, received.archive, created_by=created_by)

    async def _newest_sources(self, latest: Build) -> bytes:
        try:
            return await self._objects.read(latest.source_path)
        except Missing:
            message = "The sources of the newest deploy are not kept any more."
            raise invalid(FieldError("archive", message, None, "Send them with the request.")) from None

    async def _reuse(self, function: Function, live: Version, spec: VersionSpec, created_by: str) -> Build:
        """Makes a version with the objects of the live one and other settings."""
        number, sequence = await self._next_version(function)
        now = utc_now()
        version = Version.model_validate(
            live.model_dump(exclude={"id", "created_at"})
            | {"number": number, "spec": spec.model_dump(), "created_by": created_by}
        )
        build = Build(
            function_id=function.id,
            owner_id=function.owner_id,
            number=number,
            sequence=sequence,
            spec=spec,
            source_path=live.source_path,
            source_hash=live.source_hash,
            created_by=created_by,
            status="active",
            output=f"Version {number} is version {live.number} with other settings.\n",
            started_at=now,
            finished_at=now,
        )
        await self._store.versions.add(version)
        await self._store.builds.add(build)
        await self._make_live(function, version, sequence)
        return build

    async def _make_live(self, function: Function, version: Version, sequence: int) -> Function:
        owner_id, function_id = function.owner_id, function.id
        won = await self._store.functions.go_live(
            owner_id, function_id, number=version.number, sequence=sequence, at=utc_now()
        )
        await self._store.functions.set_status(owner_id, function_id, "active", sequence=sequence)
        current = await self._again(function)
        if won:
            await announce(self._on_live, current, version)
        return current

    async def _live(self, function: Function) -> Version | None:
        current = await self._again(function)
        if current.live_version is None:
            return None
        return await self._store.versions.get(current.owner_id, current.id, current.live_version)

    async def _next_version(self, function: Function) -> tuple[int, int]:
        taken = await self._store.functions.next_version(function.owner_id, function.id)
        if taken is None:
            raise not_found("The function")
        return taken

    async def _again(self, function: Function) -> Function:
        current = await self._store.functions.get(function.owner_id, function.id)
        if current is None:
            raise not_found("The function")
        return current


def _spec(request: DeployRequest, detected: Detected) -> VersionSpec:
    """Returns what a new function's first version is. Raises the 422 for values that can't be."""
    return _checked(
        VersionSpec(
            runtime=detected.runtime,
            language=detected.language,
            entry=detected.entry,
            handler=request.handler or None,
            limits=request.limits,
            egress=request.egress,
            environment=dict(request.environment),
            secrets=list(request.secrets),
        )
    )


def _changed(base: VersionSpec, changes: DeployChanges, detected: Detected | None = None) -> VersionSpec:
    """Returns what the next version is. Raises the 422 for values that can't be."""
    values = {
        "handler": base.handler if changes.handler is None else changes.handler or None,
        "limits": base.limits if changes.limits is None else changes.limits,
        "egress": base.egress if changes.egress is None else changes.egress,
        "environment": base.environment if changes.environment is None else dict(changes.environment),
        "secrets": base.secrets if changes.secrets is None else list(changes.secrets),
    }
    if detected is not None:
        values |= {"runtime": detected.runtime, "language": detected.language, "entry": detected.entry}
    return _checked(base.model_copy(update=values))


def _checked(spec: VersionSpec) -> VersionSpec:
    check_handler(spec.handler)
    check_environment(spec.environment)
    check_secrets(spec.secrets, spec.environment)
    check_egress(spec.egress)
    return spec


def _changes_settings(changes: DeployChanges) -> bool:
    settings = (changes.handler, changes.limits, changes.egress, changes.environment, changes.secrets)
    return any(value is not None for value in settings)


def _name_taken(name: str) -> Problem:
    error = FieldError(
        "name",
        f"You have a function named `{name}` already.",
        "one of each name",
        "Redeploy it, or choose another name.",
    )
    return Problem(422, error.message, reason="name-taken", errors=[error])


def _read_sources(archive: bytes, entry: str) -> Sources:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        files = tuple(member.name for member in tar if member.isfile())
        content = tar.extractfile(entry)
        code = content.read().decode(errors="replace") if content is not None else ""
    return Sources(entry, code, files)
