"""Sign-in with Google: verifies the ID token that a browser brings (OpenID Connect Core 1.0, section 3.1.3.7).

Checked are the signature by one of Google's published keys, the issuer, that the token is for our client (`aud`), that
it has not expired, and that Google knows the mail address to be the user's own.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import jwt

ISSUERS: Final = ("https://accounts.google.com", "accounts.google.com")
KEYS_URL: Final = "https://www.googleapis.com/oauth2/v3/certs"
_ALGORITHMS: Final = ("RS256", "ES256")
_KEYS_SECONDS: Final = 3600.0
_REFETCH_SECONDS: Final = 30.0
_LEEWAY_SECONDS: Final = 30
_MAX_TOKEN_LENGTH: Final = 8192


class NotSignedIn(Exception):  # noqa: N818 - reads as what happened
    """The token proves nothing. The message says why, for the log."""


class KeysUnavailable(Exception):  # noqa: N818 - reads as what happened
    """The issuer's keys can't be fetched just now."""


@dataclass(frozen=True, slots=True)
class GoogleIdentity:
    """Whom a token is about; `subject` never changes, the mail address may."""

    subject: str
    email: str
    name: str


class GoogleVerifier:
    """Verifies ID tokens for one client. Keys are fetched when first needed, and kept for an hour."""

    def __init__(self, client_id: str, *, keys_url: str = KEYS_URL, issuers: Sequence[str] = ISSUERS) -> None:
        self.client_id = client_id
        self._keys_url = keys_url
        self._issuers = list(issuers)
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def verify(self, credential: str) -> GoogleIdentity:
        """Returns whom a token is about. Raises `NotSignedIn` or `KeysUnavailable`."""
        if len(credential) > _MAX_TOKEN_LENGTH:
            raise NotSignedIn("the token is too long")
        try:
            header = jwt.get_unverified_header(credential)
            key = await self._key(str(header.get("kid", "")))
            claims = jwt.decode(
                credential,
                key,
                algorithms=list(_ALGORITHMS),
                audience=self.client_id,
                issuer=self._issuers,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "strict_aud": True},
            )
        except jwt.PyJWTError as error:
            raise NotSignedIn(str(error)) from error
        if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
            raise NotSignedIn("the mail address is not verified")
        return GoogleIdentity(subject=claims["sub"], email=claims["email"], name=str(claims.get("name", "")))

    async def _key(self, key_id: str) -> jwt.PyJWK:
        async with self._fetching:
            age = time.monotonic() - self._fetched_at
            # A new key of the issuer is seen at once, but invented ones make us fetch twice a minute at most.
            if age > _KEYS_SECONDS or (key_id not in self._keys and age > _REFETCH_SECONDS):
                self._keys = await self._fetch()
                self._fetched_at = time.monotonic()
        if key_id not in self._keys:
            raise NotSignedIn("the token was signed with an unknown key")
        return self._keys[key_id]

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        try:
            async with httpx2.AsyncClient(timeout=10) as client:
                response = await client.get(self._keys_url)
                response.raise_for_status()
                document: dict[str, Any] = response.json()
                keys = jwt.PyJWKSet.from_dict(document).keys
        except (httpx2.HTTPError, ValueError, jwt.PyJWTError) as error:
            raise KeysUnavailable(f"the keys of the issuer can't be fetched: {type(error).__name__}") from error
        return {key.key_id: key for key in keys if key.key_id}
