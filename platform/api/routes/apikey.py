"""`/api/apikey`: the one default key that clients of the original dashboard know."""

from fastapi import APIRouter

from cloudserve.api.bodies import View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import AccountReader, Admin
from cloudserve.core.auth.tokens import digest, hint, new_api_key
from cloudserve.core.models.base import Timestamp
from cloudserve.core.models.owner import ALL_SCOPES, ApiKey

router = APIRouter(prefix="/api/apikey", tags=["keys"])


class MaskedKey(View):
    """The default key, masked; null while there is none."""

    api_key: str | None
    created_at: Timestamp | None
    last_used_at: Timestamp | None


class FreshKey(View):
    """The key, shown this once."""

    api_key: str


@router.get("", summary="Show the default key, masked")
async def show_api_key(principal: AccountReader, context: Ctx) -> MaskedKey:
    """Returns what may be shown of the default key."""
    key = await context.store.keys.default_of(principal.owner.id)
    if key is None:
        return MaskedKey(api_key=None, created_at=None, last_used_at=None)
    return MaskedKey(api_key=key.hint, created_at=key.created_at, last_used_at=key.last_used_at)


@router.post("/regenerate", summary="Replace the default key")
async def regenerate_api_key(principal: Admin, context: Ctx) -> FreshKey:
    """Makes a new default key with all scopes; the one before it ends. It is shown this once."""
    text = new_api_key()
    await context.store.keys.replace_default(
        ApiKey(
            owner_id=principal.owner.id,
            kind="default",
            key_hash=digest(text),
            hint=hint(text),
            scopes=list(ALL_SCOPES),
        )
    )
    return FreshKey(api_key=text)
