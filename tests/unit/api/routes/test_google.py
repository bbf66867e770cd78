"""Signing in with Google."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloudserve.core.mail import MemoryMailer
from tests.unit.api.support import PASSWORD, Platform, running
from tests.unit.core.auth.google_keys import Issuer, issuing

PATH = "/api/auth/google"


@pytest.fixture
async def trusting(tmp_path: Path) -> AsyncIterator[tuple[Platform, Issuer]]:
    """A control plane that trusts an issuer, and the issuer."""
    with issuing() as issuer:
        async with running(tmp_path, google=issuer.verifier(), mailer=MemoryMailer()) as platform:
            yield platform, issuer


async def test_it_is_off_unless_set_up(platform: Platform) -> None:
    """And says so."""
    answer = await platform.client().post(PATH, json={"credential": "x"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "google-off")


async def test_the_first_sign_in_makes_the_account(trusting: tuple[Platform, Issuer]) -> None:
    """Verified, with a name from the mail address; the second finds it, even after the address has changed."""
    platform, issuer = trusting
    http = platform.client()
    first = (await http.post(PATH, json={"credential": issuer.token()})).json()["user"]
    assert (first["userName"], first["email"], first["isVerified"]) == ("ada", "ada@example.com", True)
    assert (await http.get("/api/auth/me")).json()["user"] == first
    again = await platform.client().post(PATH, json={"credential": issuer.token(email="new@example.com")})
    assert again.json()["user"] == first


async def test_a_taken_name_gets_a_number(trusting: tuple[Platform, Issuer]) -> None:
    """Nobody is kept out by another's name."""
    platform, issuer = trusting
    await platform.signed_up("ada")
    token = issuer.token(email="ada@elsewhere.example.com")
    user = (await platform.client().post(PATH, json={"credential": token})).json()["user"]
    assert user["userName"].startswith("ada-")


async def test_an_account_with_a_password_keeps_it(trusting: tuple[Platform, Issuer]) -> None:
    """If its address was verified: then both ways lead to it."""
    platform, issuer = trusting
    ada = await platform.signed_up("ada")
    owner = await platform.store.owners.get(ada.id)
    assert owner is not None
    owner.is_verified = True
    await platform.store.owners.update(owner)
    user = (await platform.client().post(PATH, json={"credential": issuer.token()})).json()["user"]
    assert user["_id"] == ada.id
    login = {"email": ada.email, "password": PASSWORD}
    assert (await platform.client().post("/api/auth/login", json=login)).status_code == 200


async def test_a_password_of_who_never_verified_opens_nothing(trusting: tuple[Platform, Issuer]) -> None:
    """Else somebody could make an account for another's address, and wait for them to come."""
    platform, issuer = trusting
    eve = await platform.signed_up("ada")
    user = (await platform.client().post(PATH, json={"credential": issuer.token()})).json()["user"]
    assert user["_id"] == eve.id
    login = {"email": eve.email, "password": PASSWORD}
    assert (await platform.client().post("/api/auth/login", json=login)).status_code == 401


async def test_an_address_that_only_resembles_another_leads_to_no_account(trusting: tuple[Platform, Issuer]) -> None:
    """Folded they are one to the store, but not to a mail server: whoever has one does not have the other."""
    platform, issuer = trusting
    await platform.signed_up("strasse")
    token = issuer.token(email="straße@example.com")
    answer = await platform.client().post(PATH, json={"credential": token})
    assert (answer.status_code, answer.json()["reason"]) == (409, "email-taken")


async def test_without_mail_no_password_leads_to_the_same_account(tmp_path: Path) -> None:
    """Nobody has shown there that an address is theirs, but the administrator, whom the operator has named."""
    with issuing() as issuer:
        async with running(tmp_path, google=issuer.verifier()) as platform:
            ada = await platform.signed_up("ada")
            http = platform.client()
            answer = await http.post(PATH, json={"credential": issuer.token()})
            assert (answer.status_code, answer.json()["reason"]) == (409, "email-taken")
            owner = await platform.store.owners.get(ada.id)
            assert owner is not None
            owner.is_admin = True
            await platform.store.owners.update(owner)
            answer = await http.post(PATH, json={"credential": issuer.token()})
            assert answer.json()["user"]["_id"] == ada.id


async def test_a_bad_token_is_refused(trusting: tuple[Platform, Issuer]) -> None:
    """Without telling what was wrong with it; an issuer that is away is told apart."""
    platform, issuer = trusting
    bad = await platform.client().post(PATH, json={"credential": issuer.token(aud="another")})
    assert (bad.status_code, bad.json()["reason"]) == (401, "wrong-credentials")
    issuer.failing = True
    platform.service.context.google._keys.clear()  # type: ignore[union-attr]
    platform.service.context.google._fetched_at = float("-inf")  # type: ignore[union-attr]
    away = await platform.client().post(PATH, json={"credential": issuer.token()})
    assert (away.status_code, away.json()["reason"]) == (503, "unavailable")


async def test_google_opens_no_closed_platform(tmp_path: Path) -> None:
    """Making an account follows the sign-up mode; signing in to one does not."""
    with issuing() as issuer:
        async with running(tmp_path, google=issuer.verifier(), signup="invite") as platform:
            http = platform.client()
            answer = await http.post(PATH, json={"credential": issuer.token()})
            assert (answer.status_code, answer.json()["reason"]) == (403, "invitation-needed")
            invitation, _ = platform.service.context.invitations.issue("ada@example.com")
            body = {"credential": issuer.token(), "invitation": invitation}
            assert (await http.post(PATH, json=body)).status_code == 200
            assert (await http.post(PATH, json={"credential": issuer.token()})).status_code == 200
