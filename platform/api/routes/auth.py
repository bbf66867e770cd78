"""`/api/auth`: signing up, in and out, and who is signed in."""

from contextlib import suppress

from fastapi import APIRouter, Request, Response
from pydantic import Field, SecretStr

from cloudserve.api.accounts import (
    add_owner,
    add_to_verify,
    by_google,
    check_signup,
    forget_cookie,
    redeem,
    required_email,
    sign_in,
)
from cloudserve.api.bodies import Body, Deleted, Email, Message, Password, View
from cloudserve.api.context import Context, Ctx
from cloudserve.api.deps import Admin, Reader, cookie_name
from cloudserve.api.letters import already_known
from cloudserve.api.mails import check_mail, send, send_code
from cloudserve.api.openapi import problems
from cloudserve.api.views import UserView
from cloudserve.core.accounts import name_fault
from cloudserve.core.auth.google import KeysUnavailable, NotSignedIn
from cloudserve.core.auth.passwords import weakness
from cloudserve.core.auth.tokens import digest
from cloudserve.core.errors import Problem, invalid
from cloudserve.core.models.owner import Owner

router = APIRouter(prefix="/api/auth", tags=["auth"])

_CODE_SENT = "If there is an account for this address that waits to be verified, a code is on its way."


class Signup(Body):
    """A new account. `invitation` is needed where the platform lets in invited people alone."""

    full_name: str = Field(max_length=100, examples=["Ada Lovelace"])
    user_name: str = Field(max_length=100, description="The name in your functions' URLs.", examples=["ada"])
    email: Email
    password: Password
    invitation: str | None = Field(default=None, max_length=1000)


class Login(Body):
    """A mail address and its password."""

    email: Email
    password: Password


class Verify(Body):
    """A mail address and the code that came to it."""

    email: Email
    code: str = Field(max_length=20, examples=["482913"])


class EmailOnly(Body):
    """A mail address."""

    email: Email


class GoogleLogin(Body):
    """The ID token that Google's button hands to a page."""

    credential: str = Field(max_length=8192)
    invitation: str | None = Field(default=None, max_length=1000)


class SignedIn(View):
    """The account."""

    user: UserView


@router.post("/signup", status_code=201, summary="Make an account", responses=problems(403, 409, 429))
async def signup(body: Signup, request: Request, response: Response, context: Ctx) -> SignedIn:
    """Makes an account. Where the platform sends mail, a code comes to the address and `verify` takes it, and an
    address that has an account is told so by mail, while the answer is the same; elsewhere the answer brings a session
    at once."""
    context.attempts.signup(request)
    email = required_email(body.email)
    check_signup(context, email, body.invitation)
    faults = [
        name_fault(body.user_name),
        weakness(body.password, field="password", own_words=(body.user_name, email, email.partition("@")[0])),
    ]
    if any(faults):
        raise invalid(*filter(None, faults))
    if context.mailer.enabled:
        context.attempts.signup_mail(email)
    owner = Owner(
        name=body.user_name,
        full_name=body.full_name.strip(),
        email=email,
        password_hash=SecretStr(await context.passwords.hash(body.password)),
        is_verified=not context.mailer.enabled,
    )
    if owner.is_verified:
        await add_owner(context, owner)
        await sign_in(context, request, response, owner)
    elif known := await add_to_verify(context, owner):
        letter = already_known(to=known.email or email, url=context.settings.url)
        context.background.start(send(context, letter))
    else:
        context.background.start(send_code(context, owner, "verify"))
    return SignedIn(user=UserView.of(owner))


@router.post("/login", summary="Sign in", responses=problems(401, 429))
async def login(body: Login, request: Request, response: Response, context: Ctx) -> SignedIn:
    """Starts a session. A wrong password, an unknown account and one that waits to be verified answer alike."""
    email = required_email(body.email)
    context.attempts.login(request, email)
    owner = await context.store.owners.by_email(email)
    kept = owner.password_hash.get_secret_value() if owner and owner.password_hash else None
    right = await context.passwords.verify(kept, body.password)
    if owner is None or kept is None or not right or not owner.is_active or not owner.is_verified:
        raise Problem(
            401,
            "The mail address or the password is wrong, or the address still waits for the code that was mailed to it.",
            reason="wrong-credentials",
        )
    context.attempts.signed_in(email)
    if context.passwords.needs_rehash(kept):
        await _rehash(context, owner, kept, body.password)
    await sign_in(context, request, response, owner)
    return SignedIn(user=UserView.of(owner))


@router.post("/verify", summary="Verify a mail address", responses=problems(429))
async def verify(body: Verify, request: Request, response: Response, context: Ctx) -> SignedIn:
    """Takes the code of a new account, verifies its mail address and starts a session."""
    email = required_email(body.email)
    context.attempts.login(request, email)
    owner = await redeem(context, await context.store.owners.by_email(email), "verify", body.code)
    owner.is_verified = True
    await context.store.owners.update(owner)
    context.attempts.signed_in(email)
    await sign_in(context, request, response, owner)
    return SignedIn(user=UserView.of(owner))


@router.post("/resend-verification", summary="Send the code again", responses=problems(409, 429))
async def resend_verification(body: EmailOnly, request: Request, context: Ctx) -> Message:
    """Mails a fresh code to an account that waits to be verified. The answer is the same when there is none."""
    check_mail(context)
    email = required_email(body.email)
    context.attempts.send_code(request, email)

    async def send() -> None:
        owner = await context.store.owners.by_email(email)
        if owner is not None and not owner.is_verified:
            await send_code(context, owner, "verify")

    context.background.start(send())
    return Message(message=_CODE_SENT)


@router.post("/google", summary="Sign in with Google", responses=problems(401, 403, 404, 409, 429))
async def google(body: GoogleLogin, request: Request, response: Response, context: Ctx) -> SignedIn:
    """Starts a session for whom Google vouches, and makes the account when there is none."""
    if context.google is None:
        raise Problem(404, "Sign-in with Google is not set up on this platform.", reason="google-off")
    context.attempts.knock(request)
    try:
        identity = await context.google.verify(body.credential)
    except NotSignedIn as error:
        raise Problem(401, "Google's sign-in was not valid. Try it again.", reason="wrong-credentials") from error
    except KeysUnavailable as error:
        raise Problem(
            503, "Google can't be reached just now. Try again.", reason="unavailable", headers={"Retry-After": "5"}
        ) from error
    owner = await by_google(context, identity, body.invitation)
    if not owner.is_active:
        raise Problem(403, "The account is not active.", reason="inactive")
    await sign_in(context, request, response, owner)
    return SignedIn(user=UserView.of(owner))


@router.post("/logout", summary="Sign out")
async def logout(request: Request, response: Response, context: Ctx) -> Message:
    """Ends the session of the request's cookie, if there is one."""
    token = request.cookies.get(cookie_name(context))
    if token:
        await context.store.sessions.delete(digest(token))
        forget_cookie(context, response)
    return Message(message="You are signed out.")


@router.get("/me", summary="Show who is signed in")
async def me(principal: Reader) -> SignedIn:
    """Returns the account of the session or key."""
    return SignedIn(user=UserView.of(principal.owner))


@router.delete("/me", summary="Delete the account", responses=problems(409))
async def delete_me(principal: Admin, response: Response, context: Ctx) -> Deleted:
    """Deletes the account with all its functions, keys and sessions. An administrator's account stays."""
    owner = principal.owner
    if owner.is_admin:
        raise Problem(409, "The account of an administrator can't be deleted.", reason="administrator")
    while functions := await context.store.functions.list(owner.id):
        for function in functions:
            with suppress(Problem):  # somebody else has just deleted it
                await context.deployments.delete(owner, function)
    await context.store.owners.delete(owner.id)
    forget_cookie(context, response)
    return Deleted(deleted=1)


async def _rehash(context: Context, owner: Owner, kept: str, password: str) -> None:
    """Brings a hash up to today's parameters, unless the password was changed meanwhile."""
    fresh = await context.passwords.hash(password)
    current = await context.store.owners.get(owner.id)
    if current is not None and current.password_hash is not None and current.password_hash.get_secret_value() == kept:
        current.password_hash = SecretStr(fresh)
        await context.store.owners.update(current)
