"""What a home lacks of a line, and what is in the way of it: compared, and nothing changed.

A row that is there under its id is left as it is, whatever has become of it since: an import adds. The exception is a
function that an import has begun and not ended; it is recognised by its row, which has no live version yet.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cloudserve.core.models.base import Record
from cloudserve.core.models.function import Build, Function, Version
from cloudserve.core.models.owner import ApiKey, Owner
from cloudserve.core.store.abc import Store
from cloudserve.core.transfer.failures import Conflict
from cloudserve.core.transfer.lines import CarriedSecret, FunctionParts, OwnerParts

R = TypeVar("R", bound=Record)

_PATHS: Final = ("source_path", "bundle_path", "layer_path")
_OTHER_HOME: Final = "import into a home of its own, or give one of the two another {what} first"


@dataclass(slots=True)
class OwnerLack:
    """What is to be added of an owner's line. `id` is what the owner has here, another one than there when merged."""

    parts: OwnerParts
    id: str
    owner: Owner | None = None
    keys: Sequence[ApiKey] = ()
    conflicts: Sequence[Conflict] = ()


@dataclass(slots=True)
class FunctionLack:
    """What is to be added of a function's line: `draft` is its row without a live version, `final` with it."""

    parts: FunctionParts
    draft: Function | None = None
    final: Function | None = None
    versions: Sequence[Version] = ()
    secrets: Sequence[CarriedSecret] = ()
    builds: Sequence[Build] = ()
    conflicts: list[Conflict] = field(default_factory=list)


async def owner_lack(store: Store, parts: OwnerParts, *, merge: Collection[str]) -> OwnerLack:
    """Compares an owner and its keys. One whose name is in `merge` is its namesake here, of the same kind."""
    owner = parts.owner
    if await store.owners.get(owner.id) is not None:
        return await _keys(store, OwnerLack(parts, owner.id), parts.keys)
    named = await store.owners.by_name(owner.name)
    if owner.name in merge and named is not None and named.kind == owner.kind:
        return await _keys(store, OwnerLack(parts, named.id), [_of(key, named.id) for key in parts.keys])
    conflicts = []
    if named is not None:
        remedy = f"repeat it with --merge-owner {owner.name}, if both are the same {owner.kind}"
        conflicts.append(_taken(owner, "name", owner.name, named, remedy=remedy))
    if owner.email is not None and (other := await store.owners.by_email(owner.email)) and other != named:
        conflicts.append(_taken(owner, "mail address", owner.email, other))
    google = owner.google_subject
    if google is not None and (other := await store.owners.by_google_subject(google)) and other != named:
        conflicts.append(_taken(owner, "Google account", google, other))
    lack = OwnerLack(parts, owner.id, owner.record(), conflicts=conflicts)
    return lack if conflicts else await _keys(store, lack, parts.keys)


async def function_lack(store: Store, parts: FunctionParts, *, owner: str) -> FunctionLack:
    """Compares a function and what is its; `owner` is its owner's name, for people."""
    function = parts.function
    ids = (function.owner_id, function.id)
    title = f"the function {owner}/{function.name}"
    final = function if function.live_sequence > 0 else None
    here = await store.functions.get(*ids)
    if here is None:
        other = await store.functions.by_name(function.owner_id, function.name)
        if other is not None:
            obstacle = f"another function has this name here (its id is {other.id}, not {function.id})."
            return FunctionLack(
                parts, conflicts=[Conflict(title, obstacle, "delete that one, or import into another home.")]
            )
        draft = function.model_copy(update={"live_version": None, "live_sequence": 0})
        return FunctionLack(parts, draft, final, parts.versions, parts.secrets, parts.builds)
    if here.sequence < function.sequence or here.latest_version < function.latest_version:
        obstacle = "it was imported before, and deployed again there since."
        return FunctionLack(parts, conflicts=[Conflict(title, obstacle, "delete it here, and import again.")])
    versions = {version.number: version.id for version in await store.versions.list(*ids)}
    secrets = {secret.name for secret in await store.secrets.list(*ids)}
    return FunctionLack(
        parts,
        final=final if here.live_sequence == 0 and here.sequence == function.sequence else None,
        versions=[version for version in parts.versions if version.number not in versions],
        secrets=[secret for secret in parts.secrets if secret.name not in secrets],
        builds=[build for build in parts.builds if await store.builds.get(function.owner_id, build.id) is None],
        conflicts=[
            Conflict(title, f"it has another version {version.number} here.", "delete it here, and import again.")
            for version in parts.versions
            if versions.get(version.number, version.id) != version.id
        ],
    )


def moved(parts: FunctionParts, *, owners: Mapping[str, str], places: Mapping[str, str]) -> FunctionParts:
    """Returns the parts with the owners' ids and the objects' keys that they have here."""

    def here(record: R) -> R:
        renamed = {name: owners.get(value, value) for name, value in _values(record, "owner_id", "created_by")}
        placed = {name: places.get(value, value) for name, value in _values(record, *_PATHS)}
        return record.model_copy(update=renamed | placed)

    return FunctionParts(
        function=here(parts.function),
        versions=[here(version) for version in parts.versions],
        secrets=[here(secret) for secret in parts.secrets],
        builds=[here(build) for build in parts.builds],
    )


def _values(record: Record, *names: str) -> Iterator[tuple[str, str]]:
    return ((name, value) for name in names if (value := getattr(record, name, None)) is not None)


async def _keys(store: Store, lack: OwnerLack, keys: Sequence[ApiKey]) -> OwnerLack:
    """Adds to `lack` the keys that are not there, and those that another has."""
    default = await store.keys.default_of(lack.id)
    missing, conflicts = [], list(lack.conflicts)
    for key in keys:
        here = await store.keys.by_hash(key.key_hash)
        if here is None and not (key.kind == "default" and default is not None):
            missing.append(key)
        elif here is not None and here.id != key.id:
            obstacle = f"another row has it here (its id is {here.id}, not {key.id})."
            conflicts.append(Conflict(f"the key {key.hint}", obstacle, "delete that key, and import again."))
    lack.keys, lack.conflicts = missing, conflicts
    return lack


def _of(key: ApiKey, owner_id: str) -> ApiKey:
    """Returns a key as another owner's, who has a default key already."""
    return key.model_copy(update={"owner_id": owner_id, "kind": "named" if key.kind == "default" else key.kind})


def _taken(owner: Owner, what: str, value: str, other: Owner, *, remedy: str | None = None) -> Conflict:
    return Conflict(
        f"the {owner.kind} {owner.name}",
        f"the {what} {value} belongs to {other.name} here (its id is {other.id}, not {owner.id}).",
        (remedy or _OTHER_HOME.format(what=what)) + ".",
    )
