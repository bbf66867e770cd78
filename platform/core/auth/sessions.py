"""Sessions: an opaque token in a cookie, a row with its hash and an end in the store."""

from datetime import timedelta

from cloudserve.core.auth.tokens import SESSION_PREFIX, digest, new_session_token
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.owner import Session
from cloudserve.core.store.abc import Store

_USER_AGENT_SHOWN = 200


async def open_session(store: Store, owner_id: str, *, days: int, user_agent: str = "") -> tuple[str, Session]:
    """Starts a session; returns the token, which is kept nowhere, and its row."""
    token = new_session_token()
    session = Session(
        owner_id=owner_id,
        token_hash=digest(token),
        expires_at=utc_now() + timedelta(days=days),
        user_agent=user_agent[:_USER_AGENT_SHOWN],
    )
    await store.sessions.add(session)
    return token, session


async def find_session(store: Store, token: str) -> Session | None:
    """Returns the session of a token; None when there is none, or it has ended."""
    if not token.startswith(SESSION_PREFIX):
        return None
    session = await store.sessions.by_hash(digest(token))
    return session if session is not None and session.expires_at > utc_now() else None
