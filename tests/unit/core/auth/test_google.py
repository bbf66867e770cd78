"""ID tokens prove a sign-in only if each of their claims does."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from cloudserve.core.auth import google
from cloudserve.core.auth.google import GoogleIdentity, KeysUnavailable, NotSignedIn
from cloudserve.core.models.base import utc_now
from tests.unit.core.auth.google_keys import Issuer, issuing


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer with one key."""
    with issuing() as made:
        yield made


async def test_a_good_token_tells_who_signed_in(issuer: Issuer) -> None:
    """By the subject, which never changes."""
    identity = await issuer.verifier().verify(issuer.token())
    assert identity == GoogleIdentity(subject="1234567890", email="Ada@example.com", name="Ada Lovelace")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another.apps.example.com"},
        {"aud": ["another.apps.example.com", "client.apps.example.com"]},
        {"aud": None},
        {"iss": "https://accounts.example.com"},
        {"iss": None},
        {"exp": utc_now() - timedelta(minutes=5)},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
        {"email": None},
        {"nbf": utc_now() + timedelta(hours=1)},
        {"kid": "unknown"},
    ],
)
async def test_one_wrong_claim_is_enough(issuer: Issuer, claims: dict[str, Any]) -> None:
    """Another client's token, an old one, one of another issuer, one whose mail address is not verified."""
    with pytest.raises(NotSignedIn):
        await issuer.verifier().verify(issuer.token(**claims))


async def test_a_signature_is_by_a_published_key(issuer: Issuer) -> None:
    """Not by another of the same name, and not by none; the public key is no shared secret."""
    verifier = issuer.verifier()
    forged = issuer.token(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    unsigned = issuer.token(algorithm="none", key="")
    shared = issuer.token(algorithm="HS256", key="x" * 32)
    changed = issuer.token().rpartition(".")[0] + ".AAAA"
    for token in (forged, unsigned, shared, changed, "", "a.b.c", "x" * 9000):
        with pytest.raises(NotSignedIn):
            await verifier.verify(token)


async def test_keys_are_fetched_once(issuer: Issuer) -> None:
    """Also when many sign in at the same moment."""
    verifier = issuer.verifier()
    await asyncio.gather(*(verifier.verify(issuer.token()) for _ in range(10)))
    assert issuer.fetched == 1


async def test_a_new_key_is_seen_at_once(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """But invented ones make us ask twice a minute at most."""
    now = 1000.0
    monkeypatch.setattr(google.time, "monotonic", lambda: now)
    verifier = issuer.verifier()
    await verifier.verify(issuer.token())
    issuer.new_key()
    for _ in range(5):
        with pytest.raises(NotSignedIn):
            await verifier.verify(issuer.token())
    assert issuer.fetched == 1
    now += 31
    await verifier.verify(issuer.token())
    assert issuer.fetched == 2


async def test_keys_are_fetched_again_in_time(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a key that was taken back is trusted for an hour at most."""
    now = 1000.0
    monkeypatch.setattr(google.time, "monotonic", lambda: now)
    verifier = issuer.verifier()
    token = issuer.token()
    await verifier.verify(token)
    issuer.new_key()
    del issuer.published[0]
    now += 3601
    with pytest.raises(NotSignedIn):
        await verifier.verify(token)


async def test_an_issuer_that_is_away_is_no_wrong_token(issuer: Issuer) -> None:
    """The difference is what a user is told to do."""
    issuer.failing = True
    with pytest.raises(KeysUnavailable):
        await issuer.verifier().verify(issuer.token())
