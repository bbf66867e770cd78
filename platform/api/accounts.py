"""Making accounts and signing their owners in, by whichever way they came."""

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from pydantic import SecretStr

from cloudserve.api.context import Context
from cloudserve.api.deps import cookie_name, is_https
from cloudserve.core.accounts import normal_email, suggested_name
from cloudserve.core.auth.codes import LIFETIME, Purpose
from cloudserve.core.auth.google import GoogleIdentity
from cloudserve.core.auth.sessions import open_session
from cloudserve.core.errors import FieldError, Problem, invalid
from cloudserve.core.models.base import utc_now
from cloudserve.core.models.owner import Owner
from cloudserve.core.store.abc import Taken

_NOBODY = "nobody"  # no id of `core/ids.py` is like it

_TAKEN = {
    "name": ("name-taken", "userName", "The user name is taken.", "Choose another name."),
    "email": ("email-taken", "email", "There is an account with this mail address.", "Sign in, or reset the password."),
}


def required_email(text: str) -> str:
    """Returns a mail address in the form that is kept. Raises the 422 for anything else."""
    email = normal_email(text)
    if email is None:
        raise invalid(FieldError("email", "This is not a mail address.", remedy="Write it like ada@example.com."))
    return email


def check_signup(context: Context, email: str, invitation: str | None) -> None:
    """Raises the 403 when this platform does not let a mail address sign up."""
    mode = context.settings.signup
    if mode == "open" or (invitation is not None and context.invitations.invited(invitation) == email):
        return
    if mode == "invite":
        raise Problem(
            403,
            "Signing up needs a valid invitation for this mail address. Ask an administrator of the platform for one.",
            reason="invitation-needed",
        )
    raise Problem(403, "Nobody can sign up here. Ask an administrator of the platform.", reason="signup-closed")


async def add_owner(context: Context, owner: Owner) -> None:
    """Adds an account. Raises the 409 for a name or mail address in use.

    An account whose mail address was never verified gives way once its code has run out: nobody can keep another from
    signing up by being first.
    """
    try:
        await context.store.owners.add(owner)
    except Taken as taken:
        earlier = await _holder(context, owner, taken.field)
        if earlier is None or _stays(earlier):
            raise taken_problem(taken) from taken
        await context.store.owners.delete(earlier.id)
        await add_owner(context, owner)


async def add_to_verify(context: Context, owner: Owner) -> Owner | None:
    """Adds an account whose mail address is to be verified. Raises the 409 for a name in use.

    Returns the account that has the mail address already, if there is one. The new one is then a name without address
    or password, until it gives way: neither the answer nor a second try at the name tells who has an account.
    """
    earlier = await _holder(context, owner, "email")
    if earlier is not None and _stays(earlier):
        await add_owner(context, owner.model_copy(update={"email": None, "password_hash": None}))
        return earlier
    try:
        await add_owner(context, owner)
    except Problem as problem:
        if problem.reason != "email-taken":
            raise
        return await add_to_verify(context, owner)  # another sign-up was quicker
    return None


def taken_problem(taken: Taken) -> Problem:
    """Returns the 409 for a name or mail address in use."""
    reason, field, message, remedy = _TAKEN[taken.field]
    return Problem(409, message, reason=reason, errors=[FieldError(field, message, remedy=remedy)])


async def redeem(context: Context, owner: Owner | None, purpose: Purpose, code: str) -> Owner:
    """Uses up the code that was mailed to an account. Raises the 422, after the same work when there is no account."""
    right = await context.codes.redeem(owner.id if owner else _NOBODY, purpose, code)
    if owner is None or not right:
        raise invalid(
            FieldError("code", "The code is wrong, or not valid any more.", remedy="Check it, or ask for a new one.")
        )
    return owner


async def by_google(context: Context, identity: GoogleIdentity, invitation: str | None) -> Owner:
    """Returns the account of someone whom Google vouches for, and makes it if there is none. Raises 403 and 409."""
    owners = context.store.owners
    known = await owners.by_google_subject(identity.subject)
    if known is not None:
        return known
    email = required_email(identity.email)
    owner = await owners.by_email(email)
    if owner is None:
        check_signup(context, email, invitation)
        return await _add_with_free_name(
            context,
            {"full_name": identity.name[:100], "email": email, "google_subject": identity.subject, "is_verified": True},
        )
    if owner.email != email:
        # The store takes some addresses for one that mail servers tell apart, such as those with `ß` and `ss`.
        raise taken_problem(Taken("email"))
    if not context.mailer.enabled and not owner.is_admin:
        # Without mail every account counts as verified, so its address may be another's who was first.
        raise taken_problem(Taken("email"))
    if not owner.is_verified:
        # Whoever signed up with this address never showed that it is theirs: their password opens nothing.
        await context.store.sessions.delete_of(owner.id)
        owner.password_hash = None
    owner.google_subject, owner.is_verified, owner.updated_at = identity.subject, True, utc_now()
    await owners.update(owner)
    return owner


async def set_password(context: Context, owner: Owner, password: str) -> None:
    """Gives an account a new password."""
    owner.password_hash = SecretStr(await context.passwords.hash(password))
    owner.password_changed_at = owner.updated_at = utc_now()
    await context.store.owners.update(owner)


async def sign_in(context: Context, request: Request, response: Response, owner: Owner) -> None:
    """Starts a session and puts its cookie on the answer."""
    days = context.settings.session_days
    token, _ = await open_session(context.store, owner.id, days=days, user_agent=request.headers.get("user-agent", ""))
    response.set_cookie(
        cookie_name(context),
        token,
        max_age=days * 86400,
        httponly=True,
        samesite="lax",
        secure=is_https(context),
        path="/",
    )


def forget_cookie(context: Context, response: Response) -> None:
    """Takes the session's cookie from the browser."""
    response.delete_cookie(cookie_name(context), httponly=True, samesite="lax", secure=is_https(context), path="/")


async def _holder(context: Context, owner: Owner, field: str) -> Owner | None:
    """Returns who has the name or mail address that another account wants."""
    if field == "name":
        return await context.store.owners.by_name(owner.name)
    return await context.store.owners.by_email(owner.email) if field == "email" and owner.email else None


def _stays(owner: Owner) -> bool:
    """Tells whether an account keeps its name and mail address: once verified, and before as long as its code holds."""
    return owner.is_verified or owner.kind != "user" or utc_now() - owner.created_at < LIFETIME


async def _add_with_free_name(context: Context, values: Mapping[str, Any]) -> Owner:
    name = suggested_name(values["email"])
    while True:
        owner = Owner(name=name, **values)
        try:
            await context.store.owners.add(owner)
        except Taken as taken:
            if taken.field != "name":
                raise taken_problem(taken) from taken
            name = f"{suggested_name(values['email'])}-{secrets.token_hex(2)}"
        else:
            return owner
