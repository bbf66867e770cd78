"""`/api/admin`: the first administrator, made with the machine key, and what administrators do."""

from fastapi import APIRouter
from pydantic import Field

from cloudserve.api import letters
from cloudserve.api.accounts import required_email, taken_problem
from cloudserve.api.bodies import Body, Email, Message, Password, View
from cloudserve.api.context import Ctx
from cloudserve.api.deps import Administrator, Cursor, Machine, PageSize
from cloudserve.api.mails import check_mail, send
from cloudserve.api.openapi import problems
from cloudserve.api.views import UserView
from cloudserve.core.accounts import name_fault
from cloudserve.core.auth.passwords import weakness
from cloudserve.core.auth.tokens import KEY_PATTERN
from cloudserve.core.errors import Problem, invalid, not_found
from cloudserve.core.mail import MailError
from cloudserve.core.models.base import Timestamp
from cloudserve.core.store.abc import Taken

router = APIRouter(prefix="/api/admin", tags=["administration"])


class NewAdministrator(Body):
    """The account of the administrator."""

    email: Email
    user_name: str = Field(max_length=100)
    full_name: str = Field(max_length=100)
    password: Password
    api_key: str | None = Field(
        default=None,
        pattern=KEY_PATTERN,
        description="The first key, for a caller who must know it even if the answer is lost.",
    )


class MadeAdministrator(View):
    """The administrator. `apiKey` is shown once, when the account was made."""

    user: UserView
    created: bool
    api_key: str | None = None


class AdministratorState(View):
    """The administrator, and whether the first password and key still hold."""

    user: UserView
    password_changed: bool
    key_changed: bool


class UserList(View):
    """A stretch of users, newest first; `nextCursor` continues it, null when it is the last."""

    users: list[UserView]
    next_cursor: str | None


class Invite(Body):
    """Whom to invite."""

    email: Email


class Invited(View):
    """What the invited one hands in at sign-up. It is for this mail address alone.

    `mailed` tells that it is on its way to them; without mail it is the administrator's to pass on.
    """

    invitation: str
    email: str
    expires_at: Timestamp
    mailed: bool


class MailTrial(Body):
    """Where the mail shall go."""

    email: Email


@router.post("/administrator", dependencies=[Machine], summary="Make the first administrator", responses=problems(409))
async def make_administrator(body: NewAdministrator, context: Ctx) -> MadeAdministrator:
    """Makes the administrator when there is none, and changes nothing when there is one."""
    email = required_email(body.email)
    faults = [
        name_fault(body.user_name, reserved=False),
        weakness(body.password, field="password", own_words=(body.user_name, email)),
    ]
    if any(faults):
        raise invalid(*filter(None, faults))
    try:
        owner, created, key = await context.administrators.make(
            name=body.user_name,
            full_name=body.full_name,
            email=email,
            password=body.password,
            api_key=body.api_key,
        )
    except Taken as taken:
        raise taken_problem(taken) from taken
    return MadeAdministrator(user=UserView.of(owner), created=created, api_key=key)


@router.get("/administrator", dependencies=[Machine], summary="Show the first administrator")
async def show_administrator(context: Ctx) -> AdministratorState:
    """Tells whether what was handed out with the account still holds."""
    owner = await context.administrators.find()
    if owner is None:
        raise not_found("An administrator")
    return AdministratorState(
        user=UserView.of(owner),
        password_changed=owner.password_changed_at is not None,
        key_changed=await context.administrators.key_changed(owner),
    )


@router.get("/users", summary="List users")
async def list_users(_: Administrator, context: Ctx, limit: PageSize = 50, cursor: Cursor = None) -> UserList:
    """Returns all accounts of the platform, newest first."""
    page = await context.store.owners.list(limit=limit, cursor=cursor)
    return UserList(users=[UserView.of(owner) for owner in page.rows], next_cursor=page.next_cursor)


@router.post("/invitations", status_code=201, summary="Invite someone")
async def invite(body: Invite, _: Administrator, context: Ctx) -> Invited:
    """Writes an invitation to sign up, good for a week and for this mail address alone, and mails it."""
    email = required_email(body.email)
    invitation, expires_at = context.invitations.issue(email)
    if context.mailer.enabled:
        letter = letters.invitation(invitation, expires_at, to=email, url=context.settings.url)
        context.background.start(send(context, letter))
    return Invited(invitation=invitation, email=email, expires_at=expires_at, mailed=context.mailer.enabled)


@router.post("/mail/test", summary="Try the mail settings", responses=problems(409, 502))
async def try_mail(body: MailTrial, _: Administrator, context: Ctx) -> Message:
    """Hands one mail to the mail server, once, and tells what the server says."""
    check_mail(context)
    email = required_email(body.email)
    try:
        await context.mailer.send(letters.trial(to=email, url=context.settings.url), retry=False)
    except MailError as error:
        raise Problem(502, str(error), reason="mail-failed") from error
    return Message(message=f"The mail server has taken the mail to {email}.")
