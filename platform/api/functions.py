"""How a function is shown: its row, its live version, and what its newest deploy asked for while nothing is live."""

from typing import Any

from cloudserve.api.context import Context
from cloudserve.api.views import FunctionView, SpecView
from cloudserve.core.models.function import Function, VersionSpec
from cloudserve.core.models.owner import Owner

_NOT_SHOWN = {"owner_id", "live_version", "sequence", "live_sequence"}
_OF_THE_VERSION = {"source_path", "bundle_path", "source_hash", "bundle_hash", "dep_hash"}
_NO_SPEC: dict[str, Any] = dict.fromkeys(SpecView.model_fields) | {"environment": [], "secrets": []}


async def view_of(context: Context, owner: Owner, function: Function) -> FunctionView:
    """Returns what is shown of a function."""
    live, spec = None, None
    if function.live_version is not None:
        live = await context.store.versions.get(owner.id, function.id, function.live_version)
    if live is not None:
        spec = live.spec
    else:
        spec = await _newest_spec(context, function)
    values = function.model_dump(exclude=_NOT_SHOWN)
    values |= SpecView.of(spec).model_dump() if spec else _NO_SPEC
    values |= live.model_dump(include=_OF_THE_VERSION) if live else dict.fromkeys(_OF_THE_VERSION)
    return FunctionView.model_validate(
        values
        | {
            "user": owner.id,
            "endpoint": f"{context.settings.run_url.rstrip('/')}/run/{owner.name}/{function.name}",
            "version": function.live_version,
        }
    )


async def _newest_spec(context: Context, function: Function) -> VersionSpec | None:
    builds = await context.store.builds.list(function.owner_id, function.id, limit=1)
    return builds[0].spec if builds else None
