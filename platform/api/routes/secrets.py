"""`/api/functions/{id}/secrets`: values that go in and never come out again, but to the function."""

import re
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from cloudserve.api.bodies import Body, Deleted, View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import Deployer, FunctionId, Reader, owned_function
from cloudserve.api.openapi import problems
from cloudserve.core.environment import MAX_SECRET_BYTES, MAX_SECRETS, NAME_PATTERN, is_reserved
from cloudserve.core.errors import FieldError, Problem, invalid, not_found
from cloudserve.core.models.base import Timestamp
from cloudserve.core.models.owner import Secret

router = APIRouter(prefix="/api/functions/{functionId}/secrets", tags=["secrets"])

_NAME = re.compile(NAME_PATTERN, re.ASCII)

SecretName = Annotated[
    str, Path(alias="name", max_length=128, description="The name that the function reads.", examples=["API_TOKEN"])
]


class SecretView(View):
    """A secret without its value."""

    name: str
    updated_at: Timestamp


class SecretList(View):
    """A function's secrets, by name."""

    secrets: list[SecretView]


class OneSecret(View):
    """A secret without its value."""

    secret: SecretView


class SecretValue(Body):
    """A secret's value."""

    value: str = Field(max_length=MAX_SECRET_BYTES, examples=["s3cr3t"])


@router.get("", summary="List secrets")
async def list_secrets(function_id: FunctionId, principal: Reader, context: Ctx) -> SecretList:
    """Returns the names of a function's secrets, and when each was set."""
    function = await owned_function(context, principal, function_id)
    secrets = await context.store.secrets.list(principal.owner.id, function.id)
    shown = [SecretView(name=secret.name, updated_at=secret.updated_at) for secret in secrets]
    return SecretList(secrets=sorted(shown, key=lambda secret: secret.name))


@router.put("/{name}", summary="Set a secret", responses=problems(409))
async def set_secret(
    function_id: FunctionId, name: SecretName, body: SecretValue, principal: Deployer, context: Ctx
) -> OneSecret:
    """Sets a secret. Within a second, new calls see it."""
    function = await owned_function(context, principal, function_id)
    _check(name, body.value)
    names = {secret.name for secret in await context.store.secrets.list(principal.owner.id, function.id)}
    if name not in names and len(names) >= MAX_SECRETS:
        raise Problem(409, f"There are {MAX_SECRETS} secrets already. Delete one first.", reason="too-many-secrets")
    secret = Secret(
        owner_id=principal.owner.id,
        function_id=function.id,
        name=name,
        ciphertext=context.sealer.seal(body.value, context=f"{function.id}/{name}"),
    )
    await context.store.secrets.put(secret)
    return OneSecret(secret=SecretView(name=name, updated_at=secret.updated_at))


@router.delete("/{name}", summary="Delete a secret")
async def delete_secret(function_id: FunctionId, name: SecretName, principal: Deployer, context: Ctx) -> Deleted:
    """Deletes a secret. Within a second, new calls don't see it any more."""
    function = await owned_function(context, principal, function_id)
    if not await context.store.secrets.delete(principal.owner.id, function.id, name):
        raise not_found("The secret")
    return Deleted(deleted=1)


def _check(name: str, value: str) -> None:
    faults = []
    if not _NAME.fullmatch(name):
        faults.append(
            FieldError(
                "name",
                "A secret's name holds capital letters, digits and underscores, and no digit first.",
                limit=NAME_PATTERN,
                remedy="Choose a name such as API_TOKEN.",
            )
        )
    elif is_reserved(name):
        faults.append(
            FieldError("name", f"The name {name} is the platform's or the runtime's own.", remedy="Choose another.")
        )
    size = len(value.encode())
    if size > MAX_SECRET_BYTES:
        faults.append(
            FieldError(
                "value",
                f"The value has {size} bytes; {MAX_SECRET_BYTES} are allowed.",
                limit=MAX_SECRET_BYTES,
                remedy="Keep large data elsewhere, and its address here.",
            )
        )
    if "\0" in value:
        faults.append(
            FieldError("value", "The value holds a null character.", remedy="Encode it, for instance in base 64.")
        )
    if faults:
        raise invalid(*faults)
