"""Signing up, in and out."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from cloudserve.core.mail import MailError, MemoryMailer, Message
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.owner import Owner
from tests.unit.api.support import PASSWORD, Platform, User, code_in, running

SIGNUP = {"fullName": "Ada Lovelace", "userName": "ada", "email": "Ada@Example.com", "password": PASSWORD}


async def test_without_mail_an_account_is_signed_in_at_once(platform: Platform) -> None:
    """The answer brings the session's cookie, and the mail address is kept in lower case."""
    http = platform.client()
    answer = await http.post("/api/auth/signup", json=SIGNUP)
    assert answer.status_code == 201
    assert answer.json()["user"] | {"_id": "", "createdAt": ""} == {
        "_id": "",
        "userName": "ada",
        "fullName": "Ada Lovelace",
        "email": "ada@example.com",
        "isVerified": True,
        "isAdmin": False,
        "isActive": True,
        "createdAt": "",
    }
    assert (await http.get("/api/auth/me")).json()["user"]["userName"] == "ada"


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(platform: Platform) -> None:
    """HttpOnly, SameSite, of bounded life, and without Secure only because this platform is not on HTTPS."""
    answer = await platform.client().post("/api/auth/signup", json=SIGNUP)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("cloudserve=css_")
    assert "HttpOnly; Max-Age=1209600; Path=/; SameSite=lax" in cookie
    assert "Secure" not in cookie


async def test_over_https_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    """By the prefix `__Host-`, which browsers hold to Secure, no domain and the root path."""
    async with running(tmp_path, url="https://faas.example.com") as platform:
        http = platform.client(origin="https://faas.example.com")
        answer = await http.post("/api/auth/signup", json=SIGNUP)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-cloudserve=css_")
        assert "Secure" in cookie
        assert "Domain" not in cookie
        assert "strict-transport-security" in answer.headers
        assert (await http.get("/api/auth/me")).status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"userName": "ad"}, "userName"),
        ({"userName": "a" * 40}, "userName"),
        ({"userName": "Ada"}, "userName"),
        ({"userName": "-ada"}, "userName"),
        ({"userName": "a--da"}, "userName"),
        ({"userName": "adä"}, "userName"),
        ({"userName": "admin"}, "userName"),
        ({"email": "ada"}, "email"),
        ({"password": "too short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": "x" * 20}, "password"),
        ({"password": "ADA@example.com"}, "password"),
        ({"isAdmin": True}, "isAdmin"),
        ({"fullName": 7}, "fullName"),
    ],
)
async def test_a_fault_names_its_field(platform: Platform, change: dict[str, object], field: str) -> None:
    """With a sentence and a remedy; no account is made."""
    answer = await platform.client().post("/api/auth/signup", json=SIGNUP | change)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["remedy"]
    assert await platform.store.owners.by_name("ada") is None


async def test_names_and_addresses_are_unique(platform: Platform, ada: User) -> None:
    """The 409 says which of the two is taken."""
    for change, reason in [({"email": "other@example.com"}, "name-taken"), ({"userName": "other"}, "email-taken")]:
        answer = await platform.client().post("/api/auth/signup", json=SIGNUP | change)
        assert (answer.status_code, answer.json()["reason"]) == (409, reason)


async def test_a_closed_platform_takes_nobody(tmp_path: Path) -> None:
    """Whatever they send."""
    async with running(tmp_path, signup="closed") as platform:
        answer = await platform.client().post("/api/auth/signup", json=SIGNUP)
        assert (answer.status_code, answer.json()["reason"]) == (403, "signup-closed")


async def test_an_invitation_is_for_one_address(tmp_path: Path) -> None:
    """Any spelling of it, and no other."""
    async with running(tmp_path, signup="invite") as platform:
        invitation, _ = platform.service.context.invitations.issue("ada@example.com")
        http = platform.client()
        for change in ({}, {"invitation": "csi_nonsense"}, {"invitation": invitation, "email": "eve@example.com"}):
            answer = await http.post("/api/auth/signup", json=SIGNUP | change)
            assert (answer.status_code, answer.json()["reason"]) == (403, "invitation-needed")
        assert (await http.post("/api/auth/signup", json=SIGNUP | {"invitation": invitation})).status_code == 201


async def test_with_mail_a_code_verifies_the_address(tmp_path: Path) -> None:
    """Until then nobody is signed in; afterwards the code is used up."""
    async with running(tmp_path, mailer=MemoryMailer()) as platform:
        http = platform.client()
        answer = await http.post("/api/auth/signup", json=SIGNUP)
        assert answer.json()["user"]["isVerified"] is False
        assert "set-cookie" not in answer.headers
        await platform.service.context.background.settle()
        login = {"email": SIGNUP["email"], "password": PASSWORD}
        assert (await http.post("/api/auth/login", json=login)).status_code == 401
        code = code_in(platform.mailer)
        body = {"email": "ada@example.com", "code": code}
        assert (await http.post("/api/auth/verify", json=body)).json()["user"]["isVerified"] is True
        assert (await http.get("/api/auth/me")).status_code == 200
        assert (await http.post("/api/auth/verify", json=body)).status_code == 422


async def test_a_code_is_good_for_five_attempts(tmp_path: Path) -> None:
    """After that the right one does not help either; a new one does."""
    async with running(tmp_path, mailer=MemoryMailer()) as platform:
        http = platform.client()
        await http.post("/api/auth/signup", json=SIGNUP)
        await platform.service.context.background.settle()
        code = code_in(platform.mailer)
        wrong = f"{(int(code) + 1) % 1_000_000:06}"
        for guess in [wrong] * 5 + [code]:
            body = {"email": "ada@example.com", "code": guess}
            assert (await http.post("/api/auth/verify", json=body)).status_code == 422
        await http.post("/api/auth/resend-verification", json={"email": "ada@example.com"})
        await platform.service.context.background.settle()
        body = {"email": "ada@example.com", "code": code_in(platform.mailer)}
        assert (await http.post("/api/auth/verify", json=body)).status_code == 200


async def test_who_never_verified_an_address_gives_way(tmp_path: Path) -> None:
    """So that nobody keeps another from signing up by being first; the same is true of a name."""
    async with running(tmp_path, mailer=MemoryMailer()) as platform:
        http = platform.client()
        await http.post("/api/auth/signup", json=SIGNUP)
        other = SIGNUP | {"email": "other@example.com"}
        assert (await http.post("/api/auth/signup", json=other)).json()["reason"] == "name-taken"
        squatter = await _aged(platform, "ada")
        assert (await http.post("/api/auth/signup", json=SIGNUP | {"userName": "the-real-ada"})).status_code == 201
        assert await platform.store.owners.get(squatter.id) is None
        await http.post("/api/auth/signup", json=other)
        squatter = await _aged(platform, "ada")
        assert (await http.post("/api/auth/signup", json=other | {"email": "third@example.com"})).status_code == 201
        assert await platform.store.owners.get(squatter.id) is None


async def test_a_team_keeps_its_name(tmp_path: Path) -> None:
    """It has no mail address to verify."""
    async with running(tmp_path, mailer=MemoryMailer()) as platform:
        team = Owner(kind="team", name="ada", created_at=utc_now().replace(year=2020))
        await platform.store.owners.add(team)
        answer = await platform.client().post("/api/auth/signup", json=SIGNUP)
        assert answer.json()["reason"] == "name-taken"


async def test_a_sign_up_does_not_tell_who_has_an_account(tmp_path: Path) -> None:
    """With mail: the answers are alike, and so is what can be tried next; the address itself learns it by mail."""
    async with running(tmp_path, mailer=MemoryMailer()) as platform:
        assert isinstance(platform.mailer, MemoryMailer)
        await platform.signed_up("bob")
        await platform.service.context.background.settle()
        body = {"email": "bob@example.com", "code": code_in(platform.mailer)}
        assert (await platform.client().post("/api/auth/verify", json=body)).status_code == 200
        platform.mailer.sent.clear()
        known, new = "You have an account already", "Verify your mail address"
        seen, hashed = [], []
        for name, email in (("first", "bob@example.com"), ("second", "nobody@example.com")):
            before = platform.passwords.hashed
            seen.append(await _tried(platform, name, email))
            hashed.append(platform.passwords.hashed - before)
        assert seen[0] == seen[1]
        assert hashed[0] == hashed[1]
        await platform.service.context.background.settle()
        mails = [(mail.to, mail.subject) for mail in platform.mailer.sent]
        assert mails == [("bob@example.com", known)] * 2 + [("nobody@example.com", new), ("nobody@example.com", known)]
        login = {"email": "bob@example.com", "password": PASSWORD}
        assert (await platform.client().post("/api/auth/login", json=login)).status_code == 200


async def test_sign_ups_at_once_do_not_tell_either(tmp_path: Path) -> None:
    """Of two for one address the slower one is answered like the first."""
    async with running(tmp_path, mailer=MemoryMailer()) as platform:
        bodies = [SIGNUP | {"userName": f"ada-{number}"} for number in range(5)]
        http = platform.client()
        answers = await asyncio.gather(*(http.post("/api/auth/signup", json=body) for body in bodies))
        assert [answer.status_code for answer in answers] == [201] * 5


async def test_nobody_s_mail_is_flooded_by_sign_ups(tmp_path: Path) -> None:
    """From however many addresses of the network they come."""
    async with running(tmp_path, mailer=MemoryMailer()) as platform:
        statuses = []
        for number in range(11):
            http = platform.client(address=f"198.51.100.{number}")
            answer = await http.post("/api/auth/signup", json=SIGNUP | {"userName": f"ada-{number}"})
            statuses.append(answer.status_code)
        assert statuses == [201] * 10 + [429]


async def test_a_sign_up_waits_for_no_mail_server(tmp_path: Path) -> None:
    """It is answered while the mail is still on its way, and whatever becomes of that."""
    gate, mailer = asyncio.Event(), MemoryMailer()

    async def slow(message: Message, *, retry: bool = True) -> None:
        await gate.wait()
        raise MailError("the mail server is away")

    mailer.send = slow  # type: ignore[method-assign]
    async with running(tmp_path, mailer=mailer) as platform:
        answer = await platform.client().post("/api/auth/signup", json=SIGNUP)
        assert answer.status_code == 201
        gate.set()


async def test_resending_answers_alike_for_everyone(tmp_path: Path) -> None:
    """Only an account that waits gets a mail."""
    async with running(tmp_path, mailer=MemoryMailer()) as platform:
        http = platform.client()
        await http.post("/api/auth/signup", json=SIGNUP)
        answers = [
            await http.post("/api/auth/resend-verification", json={"email": email})
            for email in ("ada@example.com", "nobody@example.com")
        ]
        await platform.service.context.background.settle()
        assert answers[0].json() == answers[1].json()
        assert isinstance(platform.mailer, MemoryMailer)
        assert {mail.to for mail in platform.mailer.sent} == {"ada@example.com"}


async def test_signing_in_and_out(platform: Platform, ada: User) -> None:
    """Out means that the session is gone, not just its cookie."""
    http = platform.client()
    answer = await http.post("/api/auth/login", json={"email": "ADA@example.com", "password": PASSWORD})
    assert answer.json()["user"]["_id"] == ada.id
    token = http.cookies["cloudserve"]
    assert (await http.post("/api/auth/logout")).status_code == 200
    assert "cloudserve" not in http.cookies
    again = platform.client(cookie=f"cloudserve={token}")
    assert (await again.get("/api/auth/me")).status_code == 401


async def test_a_wrong_password_and_an_unknown_account_are_alike(platform: Platform, ada: User) -> None:
    """In the answer, and in the work that goes into it: one hash each."""
    answers = []
    for email in (ada.email, "nobody@example.com"):
        before = platform.passwords.hashed
        answer = await platform.client().post("/api/auth/login", json={"email": email, "password": "not the password"})
        assert platform.passwords.hashed == before + 1
        answers.append((answer.status_code, answer.json() | {"requestId": ""}))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401


async def test_guessing_ends_in_a_429(platform: Platform, ada: User) -> None:
    """For the account, whichever addresses the guesses come from; the answer says when to try again."""
    body = {"email": ada.email, "password": "not the password"}
    for attempt in range(10):
        http = platform.client(address=f"198.51.100.{attempt}")
        assert (await http.post("/api/auth/login", json=body)).status_code == 401
    answer = await platform.client().post("/api/auth/login", json=body)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 30


async def test_an_address_may_try_a_bounded_number_of_accounts(platform: Platform) -> None:
    """So that one password can't be tried on everybody."""
    http = platform.client()
    statuses = [
        (await http.post("/api/auth/login", json={"email": f"u{n}@example.com", "password": PASSWORD})).status_code
        for n in range(52)
    ]
    assert statuses[:50] == [401] * 50
    assert statuses[-1] == 429


async def test_an_old_hash_is_brought_up_to_date(platform: Platform, ada: User) -> None:
    """At the next sign-in, the only moment at which the password is known."""
    owner = await platform.store.owners.get(ada.id)
    assert owner is not None
    assert owner.password_hash is not None
    kept = owner.password_hash.get_secret_value()
    platform.passwords._hasher = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    assert (await ada.http.post("/api/auth/login", json={"email": ada.email, "password": PASSWORD})).status_code == 200
    fresh = await platform.store.owners.get(ada.id)
    assert fresh is not None
    assert fresh.password_hash is not None
    assert fresh.password_hash.get_secret_value() != kept
    assert (await ada.http.post("/api/auth/login", json={"email": ada.email, "password": PASSWORD})).status_code == 200


async def test_an_inactive_account_is_out_at_once(platform: Platform, ada: User) -> None:
    """Its sessions open nothing any more, and its password neither."""
    owner = await platform.store.owners.get(ada.id)
    assert owner is not None
    owner.is_active = False
    await platform.store.owners.update(owner)
    assert (await ada.http.get("/api/auth/me")).status_code == 401
    answer = await ada.http.post("/api/auth/login", json={"email": ada.email, "password": PASSWORD})
    assert answer.status_code == 401


async def test_an_account_can_be_deleted(platform: Platform, ada: User) -> None:
    """With all that was its own; its name and mail address are free again."""
    await ada.http.post(
        "/api/functions/deploy", json={"name": "hello", "code": "module.exports = 1\n", "filename": "hello.js"}
    )
    key = await platform.key_of(ada, "read")
    assert (await ada.http.delete("/api/auth/me")).json() == {"deleted": 1}
    assert "cloudserve" not in ada.http.cookies
    assert (await key.get("/api/functions")).status_code == 401
    assert await platform.store.functions.list(ada.id) == []
    assert (await platform.client().post("/api/auth/signup", json=SIGNUP)).status_code == 201


async def test_an_administrator_s_account_stays(platform: Platform, ada: User) -> None:
    """Else nobody would be left to run the platform."""
    owner = await platform.store.owners.get(ada.id)
    assert owner is not None
    owner.is_admin = True
    await platform.store.owners.update(owner)
    answer = await ada.http.delete("/api/auth/me")
    assert (answer.status_code, answer.json()["reason"]) == (409, "administrator")
    assert (await ada.http.get("/api/auth/me")).status_code == 200


async def _aged(platform: Platform, name: str) -> Owner:
    """Returns an account whose code has run out long ago."""
    await platform.service.context.background.settle()
    owner = await platform.store.owners.by_name(name)
    assert owner is not None
    owner.created_at = owner.created_at.replace(year=2020)
    await platform.store.owners.update(owner)
    return owner


async def _tried(platform: Platform, name: str, email: str) -> list[tuple[int, Any]]:
    """Returns all that somebody learns who signs up with an address and looks what came of it."""
    http = platform.client(address="198.51.100.1")
    signup = {"fullName": "Eve", "userName": name, "email": email, "password": "the password of Eve"}
    login = {"email": email, "password": "the password of Eve"}
    guess = {"email": email, "code": "000000"}
    answers = [
        await http.post("/api/auth/signup", json=signup),
        await http.post("/api/auth/signup", json=signup | {"email": f"other-{name}@example.com"}),
        await http.post("/api/auth/signup", json=signup | {"userName": f"other-{name}"}),
        await http.post("/api/auth/login", json=login),
        await http.post("/api/auth/verify", json=guess),
        await http.post("/api/auth/reset-password", json=guess | {"password": "the next password"}),
    ]
    return [(answer.status_code, _without_own_words(answer.json(), name, email)) for answer in answers]


def _without_own_words(document: Any, name: str, email: str) -> Any:
    """Returns an answer without what differs between any two: ids, times, and what was asked with."""
    if isinstance(document, dict):
        left_out = ("_id", "createdAt", "requestId")
        return {key: _without_own_words(value, name, email) for key, value in document.items() if key not in left_out}
    return document.replace(name, "NAME").replace(email, "EMAIL") if isinstance(document, str) else document
