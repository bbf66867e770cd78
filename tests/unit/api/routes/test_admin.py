"""The first administrator, and what administrators do."""

import asyncio
from pathlib import Path

import httpx2

from cloudserve.core.auth.tokens import new_api_key
from cloudserve.core.mail import MailError, MemoryMailer, Message
from tests.unit.api.support import PASSWORD, Platform, User, running

ADMIN = {"email": "root@example.com", "userName": "admin", "fullName": "Root", "password": PASSWORD}
PATH = "/api/admin/administrator"


def machine(platform: Platform) -> httpx2.AsyncClient:
    """Returns a client with the machine key, as the infrastructure program has it."""
    return platform.with_key(platform.credentials.machine_key)


async def test_the_administrator_is_made_once(platform: Platform) -> None:
    """With a key that is shown once; asking again changes nothing and shows none."""
    first = (await machine(platform).post(PATH, json=ADMIN)).json()
    assert first["created"] is True
    assert first["user"]["isAdmin"] is True
    key = first["apiKey"]
    assert (await platform.with_key(key).get("/api/auth/me")).json()["user"]["userName"] == "admin"
    again = await machine(platform).post(PATH, json=ADMIN | {"email": "other@example.com", "userName": "other"})
    assert again.json() == {"user": first["user"], "created": False, "apiKey": None}


async def test_several_programs_at_once_make_one(platform: Platform) -> None:
    """And one key."""
    answers = await asyncio.gather(*(machine(platform).post(PATH, json=ADMIN) for _ in range(5)))
    made = [answer.json() for answer in answers]
    assert sorted(one["created"] for one in made) == [False] * 4 + [True]
    assert len({one["user"]["_id"] for one in made}) == 1
    assert len([one for one in made if one["apiKey"]]) == 1


async def test_a_caller_may_choose_the_first_key(platform: Platform) -> None:
    """To know it whatever becomes of the answer: asking again confirms it. What is no key is refused."""
    key = new_api_key()
    bad = await machine(platform).post(PATH, json=ADMIN | {"apiKey": "csk_short"})
    assert bad.json()["errors"][0]["field"] == "apiKey"
    for created in (True, False):
        made = (await machine(platform).post(PATH, json=ADMIN | {"apiKey": key})).json()
        assert (made["created"], made["apiKey"]) == (created, key)
    other = (await machine(platform).post(PATH, json=ADMIN | {"apiKey": new_api_key()})).json()
    assert (other["created"], other["apiKey"]) == (False, None)
    assert (await platform.with_key(key).get("/api/auth/me")).status_code == 200


async def test_an_administrator_without_a_key_gets_one(platform: Platform) -> None:
    """As after a crash between the two."""
    made = (await machine(platform).post(PATH, json=ADMIN)).json()
    row = await platform.store.keys.default_of(made["user"]["_id"])
    assert row is not None
    await platform.store.keys.delete(row.owner_id, row.id)
    again = (await machine(platform).post(PATH, json=ADMIN)).json()
    assert again["created"] is False
    assert (await platform.with_key(again["apiKey"]).get("/api/auth/me")).status_code == 200


async def test_what_was_handed_out_is_marked_once_changed(platform: Platform) -> None:
    """The password and the key apart."""
    assert (await machine(platform).get(PATH)).status_code == 404
    await machine(platform).post(PATH, json=ADMIN)
    http = platform.client()
    await http.post("/api/auth/login", json={"email": ADMIN["email"], "password": PASSWORD})
    state = (await machine(platform).get(PATH)).json()
    assert (state["passwordChanged"], state["keyChanged"]) == (False, False)
    await http.post("/api/apikey/regenerate")
    state = (await machine(platform).get(PATH)).json()
    assert (state["passwordChanged"], state["keyChanged"]) == (False, True)
    body = {"currentPassword": PASSWORD, "newPassword": "another good password"}
    await http.post("/api/auth/change-password", json=body)
    state = (await machine(platform).get(PATH)).json()
    assert (state["passwordChanged"], state["keyChanged"]) == (True, True)


async def test_only_the_machine_key_opens_this(platform: Platform, ada: User) -> None:
    """No session, no user's key; and the machine key opens nothing else."""
    assert (await ada.http.get(PATH)).status_code == 401
    assert (await (await platform.key_of(ada, "admin")).get(PATH)).status_code == 401
    assert (await machine(platform).get("/api/functions")).status_code == 401


async def test_only_administrators_see_users_and_invite(platform: Platform, ada: User) -> None:
    """Everyone else is told so."""
    for answer in (
        await ada.http.get("/api/admin/users"),
        await ada.http.post("/api/admin/invitations", json={"email": "new@example.com"}),
        await ada.http.post("/api/admin/mail/test", json={"email": "new@example.com"}),
    ):
        assert (answer.status_code, answer.json()["reason"]) == (403, "not-administrator")


async def test_an_administrator_s_key_needs_the_scope_too(platform: Platform) -> None:
    """A key to deploy with is no key to the platform."""
    key = (await machine(platform).post(PATH, json=ADMIN)).json()["apiKey"]
    answer = await platform.with_key(key).post("/api/keys", json={"name": "ci", "scopes": ["deploy", "read"]})
    answer = await platform.with_key(answer.json()["apiKey"]).get("/api/admin/users")
    assert (answer.status_code, answer.json()["reason"]) == (403, "scope-missing")


async def test_users_are_listed_without_their_hashes(platform: Platform, ada: User) -> None:
    """Newest first, in pages."""
    key = (await machine(platform).post(PATH, json=ADMIN)).json()["apiKey"]
    http = platform.with_key(key)
    first = await http.get("/api/admin/users", params={"limit": 1})
    assert [user["userName"] for user in first.json()["users"]] == ["admin"]
    rest = await http.get("/api/admin/users", params={"cursor": first.json()["nextCursor"]})
    assert [user["userName"] for user in rest.json()["users"]] == ["ada"]
    assert "argon2" not in first.text + rest.text


async def test_an_invitation_lets_someone_sign_up(tmp_path: Path) -> None:
    """On a platform that takes invited people alone."""
    async with running(tmp_path, signup="invite") as platform:
        key = (await machine(platform).post(PATH, json=ADMIN)).json()["apiKey"]
        answer = await platform.with_key(key).post("/api/admin/invitations", json={"email": "New@example.com"})
        assert answer.status_code == 201
        assert (answer.json()["email"], answer.json()["mailed"]) == ("new@example.com", False)
        body = {
            "fullName": "New",
            "userName": "new-one",
            "email": "new@example.com",
            "password": PASSWORD,
            "invitation": answer.json()["invitation"],
        }
        assert (await platform.client().post("/api/auth/signup", json=body)).status_code == 201


async def test_an_invitation_is_mailed(tmp_path: Path) -> None:
    """Where the platform sends mail: with the command to sign up, ready to be copied."""
    mailer = MemoryMailer()
    async with running(tmp_path, signup="invite", mailer=mailer) as platform:
        key = (await machine(platform).post(PATH, json=ADMIN)).json()["apiKey"]
        answer = await platform.with_key(key).post("/api/admin/invitations", json={"email": "New@example.com"})
        assert answer.json()["mailed"] is True
        await platform.service.context.background.settle()
        [mail] = mailer.sent
        assert mail.to == "new@example.com"
        command = f"signup --url {platform.settings.url} --email new@example.com --invitation"
        assert f"{command} {answer.json()['invitation']}\n" in mail.text


async def test_an_administrator_tries_the_mail(tmp_path: Path) -> None:
    """And reads what the mail server says."""
    mailer = MemoryMailer()
    async with running(tmp_path, mailer=mailer) as platform:
        http = platform.with_key((await machine(platform).post(PATH, json=ADMIN)).json()["apiKey"])
        answer = await http.post("/api/admin/mail/test", json={"email": "root@example.com"})
        assert (answer.status_code, [mail.to for mail in mailer.sent]) == (200, ["root@example.com"])

        async def refused(message: Message, *, retry: bool = True) -> None:
            assert not retry
            raise MailError("The mail server said 535.")

        mailer.send = refused  # type: ignore[method-assign]
        answer = await http.post("/api/admin/mail/test", json={"email": "root@example.com"})
        assert (answer.status_code, answer.json()["reason"]) == (502, "mail-failed")
        assert "535" in answer.json()["message"]


async def test_there_is_no_mail_to_try_without_a_server(platform: Platform) -> None:
    """The answer says so."""
    http = platform.with_key((await machine(platform).post(PATH, json=ADMIN)).json()["apiKey"])
    answer = await http.post("/api/admin/mail/test", json={"email": "root@example.com"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "mail-off")
