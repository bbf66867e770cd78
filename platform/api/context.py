"""What the routes work with: one object that the service makes and every request finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from cloudserve.api.administrators import Administrators
from cloudserve.api.attempts import Attempts
from cloudserve.api.background import Background
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
from cloudserve.core.store.abc import Store


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one control plane."""

    settings: Settings
    store: Store
    objects: Objects
    mailer: Mailer
    credentials: Credentials
    deployments: Deployments
    sealer: Sealer
    passwords: Passwords
    codes: CodeBook
    invitations: Invitations
    google: GoogleVerifier | None
    administrators: Administrators
    attempts: Attempts
    background: Background
    sandbox_status: Callable[[], dict[str, Any]]
    protection: Protection
    readiness: ApiReadiness
    meter: RequestMeter


async def _context_of(request: Request) -> Context:
    # A coroutine, because FastAPI runs plain functions on threads: 40 of them while a slow store keeps requests.
    return cast("Context", request.app.state.context)


Ctx = Annotated[Context, Depends(_context_of)]
