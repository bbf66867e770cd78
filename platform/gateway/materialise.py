"""From a version's row to files on this host and an environment in memory: what the sandbox needs to run it.

Bundles and layers come from the object store through `TreeCache`, verified against the hashes in the row. Secrets are
opened here and live in `Deployment.environment` alone, which no `repr` shows.
"""

import asyncio
import hashlib
from collections.abc import Sequence

from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.models.function import Function, Version
from cloudserve.core.models.owner import Secret
from cloudserve.core.objects.cache import TreeCache
from cloudserve.core.store.abc import Store
from cloudserve.sandbox.abc import Deployment


class Materialiser:
    """Makes the live version of a function ready to run."""

    def __init__(self, store: Store, trees: TreeCache, sealer: Sealer) -> None:
        self._store = store
        self._trees = trees
        self._sealer = sealer

    async def live(self, function: Function) -> Deployment | None:
        """Returns the live version's deployment, None when there is none.

        Its `version_id` changes with the function's secrets too, so that workers with old ones are told apart. Raises
        `StoreError`, `ObjectsError` and `SealBroken`.
        """
        if function.live_version is None:
            return None
        version, kept = await asyncio.gather(
            self._store.versions.get(function.owner_id, function.id, function.live_version),
            self._store.secrets.list(function.owner_id, function.id),
        )
        if version is None:
            return None
        named = version.spec.secrets
        secrets = [secret for secret in kept if not named or secret.name in named]
        code = await self._trees.get(version.bundle_path, version.bundle_hash)
        layer = None
        if version.layer_path is not None and version.layer_hash is not None:
            layer = await self._trees.get(version.layer_path, version.layer_hash)
        return Deployment(
            version_id=_identity(version, secrets),
            function_id=function.id,
            owner_id=function.owner_id,
            number=version.number,
            runtime=version.spec.runtime,
            code=code,
            entry=version.bundle_entry,
            handler=version.spec.handler,
            layer=layer,
            limits=version.spec.limits,
            egress=version.spec.egress,
            environment=version.spec.environment | self._opened(secrets),
            function_name=function.name,
        )

    def _opened(self, secrets: Sequence[Secret]) -> dict[str, str]:
        return {
            secret.name: self._sealer.open(secret.ciphertext, context=f"{secret.function_id}/{secret.name}")
            for secret in secrets
        }


def _identity(version: Version, secrets: Sequence[Secret]) -> str:
    if not secrets:
        return version.id
    digest = hashlib.sha256()
    for secret in sorted(secrets, key=lambda secret: secret.name):
        digest.update(secret.name.encode() + b"\0" + hashlib.sha256(secret.ciphertext).digest())
    return f"{version.id}-{digest.hexdigest()[:12]}"
