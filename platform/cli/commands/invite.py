"""`cloudserve invite`: lets someone make an account, on a platform that takes invited people alone."""

from typing import Annotated

import typer

from cloudserve.cli.client import UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.output import JsonOption, Output, moment

app = new_app()


@app.command(epilog="Example: cloudserve invite bob@example.com")
def invite(
    email: Annotated[str, typer.Argument(metavar="ADDRESS", help="The mail address that may sign up.")],
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Invite someone to make an account; where the platform sends mail, it is mailed to them.

    Prints the invitation, which is for this mail address alone. You must be an administrator.
    """
    out = Output(as_json)
    with connect(url) as client:
        made = client.post("/api/admin/invitations", {"email": email})
    until = f"It is good until {moment(made['expiresAt'])}."
    if made["mailed"]:
        out.say(f"The invitation is on its way to {made['email']}. {until}")
    else:
        out.say(f"This platform sends no mail: pass the invitation on to {made['email']} yourself. {until}")
    out.result(made, made["invitation"])
