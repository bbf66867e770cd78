"""What is told without a sign-in: the platform itself, its health, and whether it is ready."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from cloudserve.api.bodies import View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import OfAdministrator
from cloudserve.core.auth.proof import prove
from cloudserve.core.config import SignupMode
from cloudserve.core.confine.tiers import Tier
from cloudserve.core.version import VERSION

router = APIRouter(tags=["platform"])


class LayerOnView(View):
    """A layer of the walls that is on; `how` where there is more than one way."""

    name: str
    how: str


class LayerOffView(View):
    """A layer of the walls that is off, why, and the command that would turn it on."""

    name: str
    why: str
    remedy: str


class WallsView(View):
    """How functions are kept apart: the tier of the host, and in words what that means (docs/sandbox.md).

    The layers are for administrators. What is off, and why, says where a host is weak, its kernel and how it is run:
    whoever looks for a way through learns most from just that, and nobody else can act on it.
    """

    tier: Tier
    title: str
    layers_on: list[LayerOnView] | None
    layers_off: list[LayerOffView] | None


class PlatformView(View):
    """A platform: where it is, who may sign up, whether it sends mail, and how functions are confined."""

    version: str
    url: str
    run_url: str
    signup: SignupMode
    mail: bool
    google_client_id: str | None
    walls: WallsView
    sandbox: dict[str, Any]


class Health(View):
    """That this instance serves; `proof`, where a nonce was given, that it knows the machine key."""

    status: Literal["ok"]
    instance: str
    proof: str | None = None


class Readiness(View):
    """Whether requests are taken; `checks` tells of each thing that the platform needs `ok`, or why not."""

    status: Literal["ready", "not-ready"]
    checks: dict[str, str]


@router.get("/", summary="Say what runs here", response_class=PlainTextResponse)
async def home(context: Ctx) -> str:
    """Returns in plain words what this address is, for a person who opens it."""
    settings = context.settings
    return (
        f"CloudServe {VERSION}\n\n"
        f"The API      {settings.url}/api (its OpenAPI document: {settings.url}/api/openapi.json)\n"
        f"Functions    {settings.run_url}/run/OWNER/FUNCTION\n"
        "Deploy one   ./cloudserve deploy PATH\n"
    )


@router.get("/api/platform", summary="Show the platform")
async def show_platform(context: Ctx, of_administrator: OfAdministrator) -> PlatformView:
    """Returns what a client needs to know before anyone signs in; administrators also get the layers of the walls."""
    settings = context.settings
    layers: dict[str, Any] = {"layersOn": None, "layersOff": None}
    protection = context.protection
    walls = protection.as_dict() if of_administrator else {**protection.summary(), **layers}
    return PlatformView(
        version=VERSION,
        url=settings.url,
        run_url=settings.run_url,
        signup=settings.signup,
        mail=context.mailer.enabled,
        google_client_id=settings.google_client_id,
        walls=WallsView.model_validate(walls),
        sandbox=context.sandbox_status(),
    )


@router.get("/healthz", summary="Tell that this instance serves", response_model_exclude_none=True)
async def healthz(
    context: Ctx,
    nonce: Annotated[
        str | None, Query(pattern="^[0-9a-f]{32,64}$", description="What to prove the machine key with.")
    ] = None,
) -> Health:
    """Returns the token of this instance, so that health means this one and not whoever has the port."""
    settings = context.settings
    proof = None if nonce is None else prove(context.credentials.machine_key, nonce, settings.port)
    return Health(status="ok", instance=settings.instance, proof=proof)


@router.get(
    "/readyz",
    summary="Tell whether this instance is ready",
    responses={503: {"model": Readiness, "description": "Requests are not taken just now."}},
)
async def readyz(response: Response, context: Ctx) -> Readiness:
    """Asks the store, without which nothing is served, and the object store, without which deploys fail."""
    found = await context.readiness.check()
    if not found.ready:
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return Readiness.model_validate(found.document())
