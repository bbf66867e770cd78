"""The first administrator, whom the infrastructure program makes; everyone else is made an owner by signing up."""

import asyncio
import hmac

from pydantic import SecretStr

from cloudserve.core.auth.passwords import Passwords
from cloudserve.core.auth.tokens import digest, hint, new_api_key
from cloudserve.core.models.owner import ALL_SCOPES, ApiKey, Owner
from cloudserve.core.store.abc import Store

_FIRST_KEY = "first"
_PAGE = 500


class Administrators:
    """Makes the first administrator once, however often it is asked to, and tells what became of it since."""

    def __init__(self, store: Store, passwords: Passwords) -> None:
        self._store = store
        self._passwords = passwords
        self._making = asyncio.Lock()
        self._known: str | None = None

    async def find(self) -> Owner | None:
        """Returns the administrator who was made first; None when there is none."""
        if self._known is not None:
            owner = await self._store.owners.get(self._known)
            if owner is not None and owner.is_admin:
                return owner
        first, cursor = None, None
        while True:
            page = await self._store.owners.list(limit=_PAGE, cursor=cursor)
            first = next((owner for owner in reversed(page.rows) if owner.is_admin), first)
            cursor = page.next_cursor
            if cursor is None:
                break
        self._known = first.id if first else None
        return first

    async def make(
        self, *, name: str, full_name: str, email: str, password: str, api_key: str | None = None
    ) -> tuple[Owner, bool, str | None]:
        """Returns the administrator, whether it was made just now, and its first key if that was. Raises `Taken`.

        What an earlier call was kept from by a crash is done now: an administrator without a key gets one. `api_key` is
        the first key, if the caller has chosen it to know it whatever happens; it is returned as long as it holds.
        """
        async with self._making:
            owner = await self.find()
            key = await self._store.keys.default_of(owner.id) if owner else None
            if owner is not None and key is not None:
                holds = api_key is not None and hmac.compare_digest(key.key_hash, digest(api_key))
                return owner, False, api_key if holds else None
            created = owner is None
            if owner is None:
                owner = Owner(
                    name=name,
                    full_name=full_name,
                    email=email,
                    password_hash=SecretStr(await self._passwords.hash(password)),
                    is_verified=True,
                    is_admin=True,
                )
                await self._store.owners.add(owner)
            text = api_key or new_api_key()
            await self._store.keys.replace_default(
                ApiKey(
                    owner_id=owner.id,
                    name=_FIRST_KEY,
                    kind="default",
                    key_hash=digest(text),
                    hint=hint(text),
                    scopes=list(ALL_SCOPES),
                )
            )
            return owner, created, text

    async def key_changed(self, owner: Owner) -> bool:
        """Tells whether the key that came with the account is no longer the default one."""
        key = await self._store.keys.default_of(owner.id)
        return key is None or key.name != _FIRST_KEY
