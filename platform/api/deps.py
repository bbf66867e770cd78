"""Who is asking, and what they may do: the dependencies that routes name to let a request in.

A caller is known by a key (`Authorization: Bearer csk_…`, `api-key` or `x-api-key`) or else by the cookie of a session.
A session may do whatever its owner may; a key only what its scopes say, and only to its functions if it names some.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import Depends, Path, Query, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from cloudserve.api.context import Context, Ctx
from cloudserve.core.auth.sessions import find_session
from cloudserve.core.auth.tokens import KEY_PREFIX, digest
from cloudserve.core.errors import Problem, not_found
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.function import Function
from cloudserve.core.models.owner import ALL_SCOPES, ApiKey, Owner, Scope, Session

_TOUCH_AFTER: Final = timedelta(minutes=1)

_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key (`csk_…`).")
_api_key = APIKeyHeader(name="api-key", auto_error=False, scheme_name="apiKey", description="An API key (`csk_…`).")
_cookie = APIKeyCookie(
    name="cloudserve",
    auto_error=False,
    scheme_name="session",
    description="The cookie of a signed-in browser; `__Host-cloudserve` where the platform is served over HTTPS.",
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: an owner, by a session or by a key."""

    owner: Owner
    session: Session | None = None
    key: ApiKey | None = None

    @property
    def id(self) -> str:
        """Returns the id that records name as who did something."""
        return self.key.id if self.key else self.owner.id

    def has(self, scope: Scope) -> bool:
        """Tells whether the caller may do what a scope stands for."""
        return scope in (self.key.scopes if self.key else ALL_SCOPES)

    def may_touch(self, function_id: str) -> bool:
        """Tells whether the caller's key, if it is limited to some functions, names this one."""
        return self.key is None or self.key.function_ids is None or function_id in self.key.function_ids


async def _authenticate(
    request: Request,
    context: Ctx,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    api_key: Annotated[str | None, Security(_api_key)],
    _: Annotated[str | None, Security(_cookie)],
) -> Principal:
    """Returns who is asking. Raises the 401 for nobody that we know."""
    key = (bearer.credentials if bearer else None) or api_key or request.headers.get("x-api-key")
    if key is not None:
        return await _by_key(context, key)
    token = request.cookies.get(cookie_name(context))
    session = await find_session(context.store, token) if token else None
    if session is None:
        raise _unauthenticated("Sign in, or send an API key.")
    return Principal(await _active_owner(context, session.owner_id), session=session)


async def is_administrator(request: Request, context: Ctx) -> bool:
    """Tells, on a route that answers everybody, whether one of the platform's administrators asks.

    Credentials that open nothing are no error there.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = HTTPAuthorizationCredentials(scheme=scheme, credentials=token) if scheme.lower() == "bearer" else None
    try:
        principal = await _authenticate(request, context, bearer, request.headers.get("api-key"), None)
    except Problem:
        return False
    return principal.owner.is_admin and principal.has("admin")


class Requires:
    """A dependency that lets in who has a scope, and yields the `Principal`."""

    def __init__(self, scope: Scope) -> None:
        self.scope: Scope = scope

    async def __call__(self, principal: Annotated[Principal, Depends(_authenticate)]) -> Principal:
        """Returns who is asking. Raises the 403 for a key without the scope."""
        if not principal.has(self.scope):
            raise Problem(
                403,
                f"This key lacks the scope {self.scope}. Use a key that has it, or sign in.",
                reason="scope-missing",
            )
        return principal


Reader = Annotated[Principal, Depends(Requires("read"))]
Deployer = Annotated[Principal, Depends(Requires("deploy"))]
Admin = Annotated[Principal, Depends(Requires("admin"))]


async def _of_whole_account(principal: Reader) -> Principal:
    """Keeps what belongs to the account, and to no function, from keys that are for some functions alone."""
    if principal.key is not None and principal.key.function_ids is not None:
        raise Problem(
            403, "This key is limited to some functions, so it can't see the account's.", reason="key-limited"
        )
    return principal


async def _administrator(principal: Admin) -> Principal:
    if not principal.owner.is_admin:
        raise Problem(403, "Only the platform's administrators may do this.", reason="not-administrator")
    return principal


AccountReader = Annotated[Principal, Depends(_of_whole_account)]
Administrator = Annotated[Principal, Depends(_administrator)]


async def _machine(
    request: Request,
    context: Ctx,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    api_key: Annotated[str | None, Security(_api_key)],
) -> None:
    """Lets in the infrastructure program alone: its key is compared in constant time, and opens nothing else."""
    key = (bearer.credentials if bearer else None) or api_key or request.headers.get("x-api-key") or ""
    if not hmac.compare_digest(digest(key), digest(context.credentials.machine_key)):
        raise _unauthenticated("Only the platform's own machine key opens this.")


Machine = Depends(_machine)

OfAdministrator = Annotated[bool, Depends(is_administrator)]

FunctionId = Annotated[str, Path(alias="functionId", description="The function's id.")]
KeyId = Annotated[str, Path(alias="keyId", description="The key's id.")]
BuildId = Annotated[str, Path(alias="buildId", description="The build's id.")]
LogId = Annotated[str, Path(alias="logId", description="The log's id.")]
UsageId = Annotated[str, Path(alias="usageId", description="The usage record's id.")]

PageSize = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="Where to go on: the `nextCursor` of the answer before.")
]


async def owned_function(context: Context, principal: Principal, function_id: str) -> Function:
    """Returns a function of the caller's. Raises the 404 for any other."""
    if principal.may_touch(function_id):
        function = await context.store.functions.get(principal.owner.id, function_id)
        if function is not None:
            return function
    raise not_found("The function")


def cookie_name(context: Context) -> str:
    """Returns the session cookie's name; over HTTPS one that browsers bind to this host (RFC 6265bis, 4.1.3.2)."""
    return "__Host-cloudserve" if is_https(context) else "cloudserve"


def is_https(context: Context) -> bool:
    """Tells whether browsers reach the platform over HTTPS."""
    return context.settings.url.startswith("https://")


async def _by_key(context: Context, text: str) -> Principal:
    key = await context.store.keys.by_hash(digest(text)) if text.startswith(KEY_PREFIX) else None
    now = utc_now()
    if key is None or key.kind == "machine":
        raise _unauthenticated("The API key is not known.")
    if key.expires_at is not None and key.expires_at <= now:
        raise _unauthenticated("The API key has expired.")
    principal = Principal(await _active_owner(context, key.owner_id), key=key)
    await _touch(context, key, now)
    return principal


async def _active_owner(context: Context, owner_id: str) -> Owner:
    owner = await context.store.owners.get(owner_id)
    if owner is None or not owner.is_active:
        raise _unauthenticated("The account is not active.")
    return owner


async def _touch(context: Context, key: ApiKey, now: datetime) -> None:
    """Records the use of a key, once a minute at most: a read of the API should not be a write of the store."""
    if key.last_used_at is None or now - key.last_used_at > _TOUCH_AFTER:
        await context.store.keys.touch({key.id: now})


def _unauthenticated(message: str) -> Problem:
    return Problem(401, message, reason="unauthenticated", headers={"WWW-Authenticate": 'Bearer realm="cloudserve"'})
