"""Where an account is signed in."""

from datetime import timedelta

from cloudserve.core.auth.tokens import digest
from cloudserve.core.models.base import utc_now
from tests.unit.api.support import PASSWORD, Platform, User


async def test_sessions_are_listed_without_their_tokens(platform: Platform, ada: User) -> None:
    """Newest first, the current one marked."""
    phone = platform.client(user_agent="a phone")
    await phone.post("/api/auth/login", json={"email": ada.email, "password": PASSWORD})
    answer = await ada.http.get("/api/auth/sessions")
    sessions = answer.json()["sessions"]
    assert [(session["userAgent"] == "a phone", session["isCurrent"]) for session in sessions] == [
        (True, False),
        (False, True),
    ]
    assert digest(phone.cookies["cloudserve"]) not in answer.text


async def test_the_others_can_be_ended(platform: Platform, ada: User) -> None:
    """The one that asks goes on."""
    phone = platform.client()
    await phone.post("/api/auth/login", json={"email": ada.email, "password": PASSWORD})
    assert (await ada.http.delete("/api/auth/sessions")).json() == {"deleted": 1}
    assert (await phone.get("/api/auth/me")).status_code == 401
    assert (await ada.http.get("/api/auth/me")).status_code == 200


async def test_a_key_ends_them_all(platform: Platform, ada: User) -> None:
    """It has none of its own to keep."""
    http = await platform.key_of(ada, "admin")
    assert (await http.delete("/api/auth/sessions")).json() == {"deleted": 1}
    assert (await ada.http.get("/api/auth/me")).status_code == 401


async def test_a_session_ends_by_itself(platform: Platform, ada: User) -> None:
    """After that it opens nothing and is not listed."""
    session = await platform.store.sessions.by_hash(digest(ada.http.cookies["cloudserve"]))
    assert session is not None
    assert session.expires_at - utc_now() > timedelta(days=platform.settings.session_days - 1)
    await platform.store.sessions.delete(session.token_hash)
    session.expires_at = utc_now()
    await platform.store.sessions.add(session)
    assert (await ada.http.get("/api/auth/me")).status_code == 401
