"""A real control plane in this process, over a real store and folder, and clients that sign in to it."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from argon2 import PasswordHasher
from fastapi import FastAPI

from cloudserve.api.service import ApiService
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.google import GoogleVerifier
from cloudserve.core.auth.passwords import Passwords
from cloudserve.core.config import Settings
from cloudserve.core.confine.layers import Layer
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.mail import Mailer, MemoryMailer, NoMail
from cloudserve.core.models.function import Function
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.abc import Store
from cloudserve.core.store.sqlite import SqliteStore

URL = "http://localhost:7700"
PASSWORD = "a long enough password"
PROTECTION = Protection("B", (Layer("seccomp", True), Layer("other-users", False, "it takes root", "sudo it")))


class CountingPasswords(Passwords):
    """Passwords with the cheapest parameters there are, which count how often they were hashed."""

    def __init__(self) -> None:
        super().__init__(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.hashed = 0

    def _hash(self, password: str) -> str:
        self.hashed += 1
        return super()._hash(password)

    def _verify(self, kept: str | None, password: str) -> bool:
        if kept is not None:
            self.hashed += 1
        return super()._verify(kept, password)


@dataclass
class User:
    """An account and a client that is signed in to it."""

    id: str
    name: str
    email: str
    http: httpx2.AsyncClient


class Platform:
    """A running control plane."""

    def __init__(self, service: ApiService, settings: Settings, credentials: Credentials, mailer: Mailer) -> None:
        self.service = service
        self.settings = settings
        self.credentials = credentials
        self.mailer = mailer
        self._clients: list[httpx2.AsyncClient] = []

    @property
    def app(self) -> FastAPI:
        """The application."""
        return self.service.app

    @property
    def store(self) -> Store:
        """The store."""
        return self.service.context.store

    @property
    def passwords(self) -> CountingPasswords:
        """The passwords."""
        assert isinstance(self.service.context.passwords, CountingPasswords)
        return self.service.context.passwords

    def client(self, *, origin: str | None = URL, address: str = "203.0.113.7", **headers: str) -> httpx2.AsyncClient:
        """Returns a client as a browser on the dashboard's page is one; without an origin, as a program is one."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app, raise_app_exceptions=False, client=(address, 50000)),
            base_url=self.settings.url,
            headers=given | ({"origin": origin} if origin else {}),
        )
        self._clients.append(client)
        return client

    def with_key(self, key: str) -> httpx2.AsyncClient:
        """Returns a client that sends an API key, as a program does."""
        return self.client(origin=None, authorization=f"Bearer {key}")

    async def signed_up(self, name: str | None = None) -> User:
        """Returns a new user, whose client has a session."""
        user_name = name or f"user-{secrets.token_hex(4)}"
        email = f"{user_name}@example.com"
        http = self.client()
        answer = await http.post(
            "/api/auth/signup",
            json={"fullName": "Some One", "userName": user_name, "email": email, "password": PASSWORD},
        )
        assert answer.status_code == 201, answer.text
        return User(answer.json()["user"]["_id"], user_name, email, http)

    async def key_of(self, user: User, *scopes: str, **more: Any) -> httpx2.AsyncClient:
        """Returns a client with a fresh key of a user's."""
        answer = await user.http.post("/api/keys", json={"name": "test", "scopes": list(scopes), **more})
        assert answer.status_code == 201, answer.text
        return self.with_key(answer.json()["apiKey"])

    async def function_of(self, user: User, name: str = "hello") -> Function:
        """Returns a function of a user's, as it is before its first build ends."""
        function = Function(owner_id=user.id, name=name)
        await self.store.functions.add(function)
        return function

    async def close(self) -> None:
        """Closes the clients."""
        for client in self._clients:
            await client.aclose()


@asynccontextmanager
async def running(
    folder: Path, *, mailer: Mailer | None = None, google: GoogleVerifier | None = None, **settings: Any
) -> AsyncIterator[Platform]:
    """Yields a control plane whose data is in `folder`; everyone may sign up unless `settings` say otherwise.

    Its build worker is not started: a deploy stays `pending`, so that tests of the API wait for no build.
    """
    made = Settings(data_dir=folder, **({"url": URL, "signup": "open", "instance": "this-one"} | settings))
    store, objects = SqliteStore(folder / "cloudserve.db"), FilesystemObjects(folder / "objects")
    credentials = Credentials.load_or_create(folder / "credentials")
    mailer = mailer or NoMail()
    await store.open()
    await objects.open()
    service = ApiService(
        settings=made,
        store=store,
        objects=objects,
        mailer=mailer,
        credentials=credentials,
        sandbox_status=lambda: {"kind": "local"},
        protection=PROTECTION,
        passwords=CountingPasswords(),
        google=google,
    )
    platform = Platform(service, made, credentials, mailer)
    await service.context.deployments._inbox.start()
    try:
        yield platform
    finally:
        await platform.close()
        await service.context.background.close()
        service.context.passwords.close()
        await objects.close()
        await store.close()


def code_in(mailer: Mailer) -> str:
    """Returns the code of the newest mail."""
    assert isinstance(mailer, MemoryMailer)
    return next(line.strip() for line in mailer.sent[-1].text.splitlines() if line.strip().isdigit())
