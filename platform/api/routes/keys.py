"""`/api/keys`: further keys, with scopes, an end, and functions they are limited to."""

from fastapi import APIRouter
from pydantic import Field

from cloudserve.api.bodies import Body, Deleted, View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import AccountReader, Admin, KeyId
from cloudserve.api.openapi import problems
from cloudserve.api.views import KeyView
from cloudserve.core.auth.tokens import digest, hint, new_api_key
from cloudserve.core.errors import FieldError, Problem, invalid, not_found
from cloudserve.core.models.base import Timestamp, utc_now
from cloudserve.core.models.owner import ApiKey, Scope

router = APIRouter(prefix="/api/keys", tags=["keys"])

_MAX_KEYS = 100


class NewKey(Body):
    """What a key is for. A key that is limited to functions can't have the scope `admin`."""

    name: str = Field(min_length=1, max_length=100, examples=["ci"])
    scopes: list[Scope] = Field(min_length=1, max_length=4, examples=[["invoke"]])
    expires_at: Timestamp | None = Field(default=None, strict=False, examples=["2030-01-01T00:00:00Z"])
    function_ids: list[str] | None = Field(default=None, min_length=1, max_length=100)


class KeyList(View):
    """All keys of the caller, newest first."""

    keys: list[KeyView]


class MadeKey(View):
    """The new key; `apiKey` is shown this once."""

    key: KeyView
    api_key: str


@router.get("", summary="List keys")
async def list_keys(principal: AccountReader, context: Ctx) -> KeyList:
    """Returns all keys of the caller, the default one too."""
    return KeyList(keys=[KeyView.of(key) for key in await context.store.keys.list(principal.owner.id)])


@router.post("", status_code=201, summary="Make a key", responses=problems(409))
async def make_key(body: NewKey, principal: Admin, context: Ctx) -> MadeKey:
    """Makes a key, which is shown this once."""
    owner_id = principal.owner.id
    faults = []
    if body.expires_at is not None and body.expires_at <= utc_now():
        faults.append(FieldError("expiresAt", "The key would have expired already.", remedy="Name a later time."))
    if body.function_ids is not None:
        if "admin" in body.scopes:
            faults.append(
                FieldError("scopes", "A key for some functions can't have the scope admin.", remedy="Leave it out.")
            )
        known = {function.id for function in await context.store.functions.list(owner_id)}
        for index, function_id in enumerate(body.function_ids):
            if function_id not in known:
                faults.append(
                    FieldError(f"functionIds.{index}", "You have no function with this id.", remedy="Leave it out.")
                )
    if faults:
        raise invalid(*faults)
    if len(await context.store.keys.list(owner_id)) >= _MAX_KEYS:
        raise Problem(409, f"There are {_MAX_KEYS} keys already. Delete one first.", reason="too-many-keys")
    text = new_api_key()
    key = ApiKey(
        owner_id=owner_id,
        name=body.name,
        key_hash=digest(text),
        hint=hint(text),
        scopes=list(dict.fromkeys(body.scopes)),
        function_ids=body.function_ids,
        expires_at=body.expires_at,
    )
    await context.store.keys.add(key)
    return MadeKey(key=KeyView.of(key), api_key=text)


@router.delete("/{keyId}", summary="Delete a key")
async def delete_key(key_id: KeyId, principal: Admin, context: Ctx) -> Deleted:
    """Ends a key. Gateways know within a second."""
    if not await context.store.keys.delete(principal.owner.id, key_id):
        raise not_found("The key")
    return Deleted(deleted=1)
