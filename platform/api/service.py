"""The control plane as a service: made from its parts, started and closed with them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from cloudserve.api.administrators import Administrators
from cloudserve.api.app import build_app
from cloudserve.api.attempts import Attempts
from cloudserve.api.background import Background
from cloudserve.api.build.worker import OnLive
from cloudserve.api.context import Context
from cloudserve.api.deployments import Deployments
from cloudserve.api.meter import RequestMeter
from cloudserve.api.readiness import ApiReadiness
from cloudserve.core.auth.codes import CodeBook
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.google import GoogleVerifier
from cloudserve.core.auth.invitations import Invitations
from cloudserve.core.auth.passwords import Passwords
from cloudserve.core.auth.sealing import Sealer
from cloudserve.core.config import Settings
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.mail import Mailer
from cloudserve.core.objects.abc import Objects
from cloudserve.core.retention import Retention
from cloudserve.core.store.abc import Store


class ApiService:
    """Serves the platform's origin with `app`. `start` before the first request, `close` after the last.

    The store and the object store are the caller's, who opens them before and closes them after. `passwords` and
    `google` have defaults that follow from the settings. `on_live` is called with each version that has gone live.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        objects: Objects,
        mailer: Mailer,
        credentials: Credentials,
        sandbox_status: Callable[[], dict[str, Any]],
        protection: Protection,
        passwords: Passwords | None = None,
        google: GoogleVerifier | None = None,
        on_live: OnLive | None = None,
    ) -> None:
        sealer = Sealer(credentials.secrets_key)
        passwords = passwords or Passwords()
        client_id = settings.google_client_id
        self.context = Context(
            settings=settings,
            store=store,
            objects=objects,
            mailer=mailer,
            credentials=credentials,
            deployments=Deployments(settings, store, objects, protection=protection, on_live=on_live),
            sealer=sealer,
            passwords=passwords,
            codes=CodeBook(store, credentials.secrets_key),
            invitations=Invitations(sealer),
            google=google or (GoogleVerifier(client_id) if client_id else None),
            administrators=Administrators(store, passwords),
            attempts=Attempts(),
            background=Background(),
            sandbox_status=sandbox_status,
            protection=protection,
            readiness=ApiReadiness(store, objects),
            meter=RequestMeter(),
        )
        self.app = build_app(self.context)
        self._retention = Retention(store, objects, keep=timedelta(days=settings.retention_days))

    async def start(self) -> None:
        """Starts the build worker and the sweeper."""
        await self.context.deployments.start()
        await self._retention.start()

    def leave(self) -> None:
        """Says from now on that this process takes nothing new."""
        self.context.readiness.leaving = True

    async def close(self) -> None:
        """Stops the build worker and the sweeper, and waits for what goes on in the background."""
        await self._retention.close()
        await self.context.deployments.close()
        await self.context.background.close()
        self.context.passwords.close()
