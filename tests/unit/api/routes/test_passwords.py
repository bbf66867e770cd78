"""A forgotten password, and a changed one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloudserve.core.mail import MemoryMailer
from tests.unit.api.support import PASSWORD, Platform, User, code_in, running

NEW = "another good password"


@pytest.fixture
async def mailing(tmp_path: Path) -> AsyncIterator[Platform]:
    """A control plane that sends mail, with one verified account: ada."""
    async with running(tmp_path / "mailing", mailer=MemoryMailer()) as platform:
        await platform.signed_up("ada")
        await platform.service.context.background.settle()
        body = {"email": "ada@example.com", "code": code_in(platform.mailer)}
        assert (await platform.client().post("/api/auth/verify", json=body)).status_code == 200
        yield platform


async def test_a_code_sets_a_new_password(mailing: Platform) -> None:
    """All sessions end, and the old password with them."""
    http = mailing.client()
    login = {"email": "ada@example.com", "password": PASSWORD}
    assert (await http.post("/api/auth/login", json=login)).status_code == 200
    await http.post("/api/auth/forgot-password", json={"email": "ADA@example.com"})
    await mailing.service.context.background.settle()
    body = {"email": "ada@example.com", "code": code_in(mailing.mailer), "password": NEW}
    assert (await http.post("/api/auth/reset-password", json=body)).status_code == 200
    assert (await http.get("/api/auth/me")).status_code == 401
    assert (await http.post("/api/auth/login", json=login)).status_code == 401
    assert (await http.post("/api/auth/login", json=login | {"password": NEW})).status_code == 200
    assert (await http.post("/api/auth/reset-password", json=body)).status_code == 422


async def test_a_new_password_is_told_by_mail(mailing: Platform) -> None:
    """However it was changed: whose account it is hears of it, with what to do if it was somebody else."""
    assert isinstance(mailing.mailer, MemoryMailer)
    http = mailing.client()
    await http.post("/api/auth/forgot-password", json={"email": "ada@example.com"})
    await mailing.service.context.background.settle()
    body = {"email": "ada@example.com", "code": code_in(mailing.mailer), "password": NEW}
    mailing.mailer.sent.clear()
    assert (await http.post("/api/auth/reset-password", json=body)).status_code == 200
    await http.post("/api/auth/login", json={"email": "ada@example.com", "password": NEW})
    change = {"currentPassword": NEW, "newPassword": PASSWORD}
    assert (await http.post("/api/auth/change-password", json=change)).status_code == 200
    await mailing.service.context.background.settle()
    told = [(mail.to, mail.subject) for mail in mailing.mailer.sent]
    assert told == [("ada@example.com", "Your password was changed")] * 2
    assert "If that was not you" in mailing.mailer.sent[0].text


async def test_asking_answers_alike_for_everyone(mailing: Platform) -> None:
    """Only who has an account gets a mail; the answers waste no hash on either."""
    assert isinstance(mailing.mailer, MemoryMailer)
    mailing.mailer.sent.clear()
    http, before = mailing.client(), mailing.passwords.hashed
    answers = [
        await http.post("/api/auth/forgot-password", json={"email": email})
        for email in ("ada@example.com", "nobody@example.com")
    ]
    await mailing.service.context.background.settle()
    assert (answers[0].status_code, answers[0].json()) == (answers[1].status_code, answers[1].json())
    assert mailing.passwords.hashed == before
    assert [mail.to for mail in mailing.mailer.sent] == ["ada@example.com"]


async def test_a_wrong_code_and_an_unknown_account_are_alike(mailing: Platform) -> None:
    """Nobody learns which accounts exist."""
    answers = []
    for email in ("ada@example.com", "nobody@example.com"):
        body = {"email": email, "code": "000000", "password": NEW}
        answer = await mailing.client().post("/api/auth/reset-password", json=body)
        answers.append((answer.status_code, answer.json() | {"requestId": ""}))
    assert answers[0] == answers[1]


async def test_a_code_to_verify_does_not_reset(mailing: Platform) -> None:
    """A code is good for what it was sent for."""
    owner = await mailing.store.owners.by_name("ada")
    assert owner is not None
    code = await mailing.service.context.codes.issue(owner.id, "verify")
    body = {"email": "ada@example.com", "code": code, "password": NEW}
    assert (await mailing.client().post("/api/auth/reset-password", json=body)).status_code == 422


async def test_mails_with_codes_are_limited(mailing: Platform) -> None:
    """For each account, whoever asks."""
    statuses = []
    for attempt in range(6):
        http = mailing.client(address=f"198.51.100.{attempt}")
        answer = await http.post("/api/auth/forgot-password", json={"email": "ada@example.com"})
        statuses.append(answer.status_code)
    assert statuses == [200] * 5 + [429]


async def test_without_mail_there_is_no_code(platform: Platform, ada: User) -> None:
    """And the answer says what to do instead."""
    for path in ("forgot-password", "resend-verification"):
        answer = await ada.http.post(f"/api/auth/{path}", json={"email": ada.email})
        assert (answer.status_code, answer.json()["reason"]) == (409, "mail-off")


async def test_changing_the_password_ends_the_other_sessions(platform: Platform, ada: User) -> None:
    """The one that asks goes on."""
    other = platform.client()
    await other.post("/api/auth/login", json={"email": ada.email, "password": PASSWORD})
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert (await ada.http.post("/api/auth/change-password", json=body)).status_code == 200
    assert (await ada.http.get("/api/auth/me")).status_code == 200
    assert (await other.get("/api/auth/me")).status_code == 401
    login = {"email": ada.email, "password": NEW}
    assert (await other.post("/api/auth/login", json=login)).status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("not the password", NEW, "currentPassword"),
        (PASSWORD, "short", "newPassword"),
        (PASSWORD, PASSWORD, "newPassword"),
        (PASSWORD, "ada@example.com", "newPassword"),
    ],
)
async def test_a_bad_change_is_refused(ada: User, current: str, new: str, field: str) -> None:
    """With the field at fault; the password stays."""
    answer = await ada.http.post("/api/auth/change-password", json={"currentPassword": current, "newPassword": new})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    login = {"email": ada.email, "password": PASSWORD}
    assert (await ada.http.post("/api/auth/login", json=login)).status_code == 200


async def test_guessing_the_current_password_ends_in_a_429(ada: User) -> None:
    """A stolen session is no way to the password."""
    body = {"currentPassword": "not the password", "newPassword": NEW}
    statuses = [(await ada.http.post("/api/auth/change-password", json=body)).status_code for _ in range(11)]
    assert statuses == [422] * 10 + [429]
