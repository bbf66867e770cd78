"""A function with its versions, secrets and builds, read while others write, as it was at one time.

No store can read several collections at once, so the function's row is read before and after its parts: what it says
has not changed meanwhile, and nothing takes back a sequence, so the parts agree with it. A build is read before the
versions: one that has ended has its version among them, and one under way looks as after a crash, which a worker takes
up again. Records of calls change the row's stats all the time; those are as they were first.
"""

import asyncio
from typing import Final

from cloudserve.core.models.function import Function, Stats
from cloudserve.core.store.abc import Store
from cloudserve.core.transfer.failures import TransferError
from cloudserve.core.transfer.lines import CarriedSecret, FunctionParts

BUILDS: Final = 1_000
"""The newest builds of a function that are carried: those are its history, and the ones that are not done."""

_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.2


async def snapshot(store: Store, owner_id: str, function_id: str) -> FunctionParts | None:
    """Returns a function's parts; None when it does not exist any more.

    Secrets are sealed with the store's key still. Raises `StoreError`, and `TransferError` for a function that does not
    stay the same for long enough.
    """
    again = await store.functions.get(owner_id, function_id)
    for _ in range(_TRIES):
        if again is None:
            return None
        function = again
        builds = await store.builds.list(owner_id, function_id, limit=BUILDS)
        versions = await store.versions.list(owner_id, function_id)
        secrets = await store.secrets.list(owner_id, function_id)
        again = await store.functions.get(owner_id, function_id)
        if again is not None and _constant(again) == _constant(function):
            return FunctionParts(
                function=function,
                versions=list(versions),
                secrets=[CarriedSecret.model_validate(secret.model_dump()) for secret in secrets],
                builds=list(builds),
            )
        await asyncio.sleep(_PAUSE_SECONDS)
    raise TransferError(
        f"The function {function_id} was deployed again and again while it was read. Remedy: wait, and export again."
    )


def _constant(function: Function) -> Function:
    return function.model_copy(update={"stats": Stats()})
