"""`/api/auth/…-password`: a forgotten password, and a changed one."""

from fastapi import APIRouter, Request
from pydantic import Field

from cloudserve.api.accounts import redeem, required_email, set_password
from cloudserve.api.bodies import Body, Email, Message, Password
from cloudserve.api.context import Ctx
from cloudserve.api.deps import Admin
from cloudserve.api.mails import check_mail, send_code, tell_of_password
from cloudserve.api.openapi import problems
from cloudserve.core.auth.passwords import weakness
from cloudserve.core.errors import FieldError, Problem, invalid

router = APIRouter(prefix="/api/auth", tags=["auth"])


class ForgotPassword(Body):
    """The mail address of the account."""

    email: Email


class ResetPassword(Body):
    """The code that came by mail, and the new password."""

    email: Email
    code: str = Field(max_length=20, examples=["482913"])
    password: Password


class ChangePassword(Body):
    """The password as it is, and as it shall be."""

    current_password: Password
    new_password: Password


@router.post("/forgot-password", summary="Ask for a code to choose a new password", responses=problems(409, 429))
async def forgot_password(body: ForgotPassword, request: Request, context: Ctx) -> Message:
    """Mails a code to the account. The answer is the same when there is none."""
    check_mail(context)
    email = required_email(body.email)
    context.attempts.send_code(request, email)

    async def send() -> None:
        owner = await context.store.owners.by_email(email)
        if owner is not None and owner.is_active:
            await send_code(context, owner, "reset")

    context.background.start(send())
    return Message(message="If there is an account for this address, a code is on its way.")


@router.post("/reset-password", summary="Choose a new password with a code", responses=problems(429))
async def reset_password(body: ResetPassword, request: Request, context: Ctx) -> Message:
    """Sets the password, ends all sessions of the account, and counts as proof of its mail address."""
    email = required_email(body.email)
    context.attempts.login(request, email)
    fault = weakness(body.password, field="password", own_words=(email, email.partition("@")[0]))
    if fault is not None:
        raise invalid(fault)
    owner = await redeem(context, await context.store.owners.by_email(email), "reset", body.code)
    owner.is_verified = True
    await set_password(context, owner, body.password)
    await context.store.sessions.delete_of(owner.id)
    tell_of_password(context, owner)
    context.attempts.signed_in(email)
    return Message(message="The password is changed. Sign in with it.")


@router.post("/change-password", summary="Change the password", responses=problems(409, 429))
async def change_password(body: ChangePassword, request: Request, principal: Admin, context: Ctx) -> Message:
    """Sets a new password and ends all other sessions of the account."""
    owner = principal.owner
    if owner.password_hash is None:
        raise Problem(
            409, "The account has no password yet. Ask for a code with forgot-password.", reason="no-password"
        )
    context.attempts.login(request, owner.id)
    if not await context.passwords.verify(owner.password_hash.get_secret_value(), body.current_password):
        raise invalid(FieldError("currentPassword", "The current password is wrong.", remedy="Type it again."))
    words = (owner.name, owner.email or "", (owner.email or "").partition("@")[0], body.current_password)
    fault = weakness(body.new_password, field="newPassword", own_words=words)
    if fault is not None:
        raise invalid(fault)
    await set_password(context, owner, body.new_password)
    keep = principal.session.token_hash if principal.session else None
    await context.store.sessions.delete_of(owner.id, keep=keep)
    tell_of_password(context, owner)
    context.attempts.signed_in(owner.id)
    return Message(message="The password is changed. All other sessions have ended.")
