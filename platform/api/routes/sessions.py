"""`/api/auth/sessions`: where an account is signed in."""

from fastapi import APIRouter
from pydantic import Field

from cloudserve.api.bodies import Deleted, View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import AccountReader, Admin
from cloudserve.core.models.base import Timestamp, utc_now

router = APIRouter(prefix="/api/auth/sessions", tags=["auth"])


class SessionView(View):
    """A signed-in browser or program."""

    id: str = Field(alias="_id")
    user_agent: str
    is_current: bool
    created_at: Timestamp
    expires_at: Timestamp


class SessionList(View):
    """All sessions of the caller, newest first."""

    sessions: list[SessionView]


@router.get("", summary="List sessions")
async def list_sessions(principal: AccountReader, context: Ctx) -> SessionList:
    """Returns where the caller's account is signed in."""
    now, current = utc_now(), principal.session.id if principal.session else None
    return SessionList(
        sessions=[
            SessionView(
                id=session.id,
                user_agent=session.user_agent,
                is_current=session.id == current,
                created_at=session.created_at,
                expires_at=session.expires_at,
            )
            for session in await context.store.sessions.list(principal.owner.id)
            if session.expires_at > now
        ]
    )


@router.delete("", summary="End all other sessions")
async def end_other_sessions(principal: Admin, context: Ctx) -> Deleted:
    """Ends all sessions of the account but the one that asks."""
    keep = principal.session.token_hash if principal.session else None
    return Deleted(deleted=await context.store.sessions.delete_of(principal.owner.id, keep=keep))
