"""`cloudserve mail`: whether the platform's mail settings work."""

from typing import Annotated

import typer

from cloudserve.cli.client import UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.output import JsonOption, Output

app = new_app(
    description="Try whether the platform's mail arrives.",
    example="cloudserve mail test ann@example.com",
)


@app.callback()
def family() -> None:  # without it, a family of one would be a command itself
    """Try whether the platform's mail arrives."""


@app.command("test", epilog="Example: cloudserve mail test ann@example.com")
def try_mail(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where the mail shall go.")],
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the platform hand one mail to its mail server, and tell what that says.

    Nothing is tried twice, so a failure shows at once. You must be an administrator.
    """
    out = Output(as_json)
    with connect(url) as client, out.working(f"Sending a mail to {address} …"):
        answer = client.post("/api/admin/mail/test", {"email": address})
    out.result(answer, answer["message"])
