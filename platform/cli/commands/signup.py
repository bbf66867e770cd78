"""`cloudserve signup`: makes an account and signs this machine in."""

from typing import Annotated

import typer

from cloudserve.cli import account
from cloudserve.cli.client import Client, UrlOption
from cloudserve.cli.commands import new_app
from cloudserve.cli.output import JsonOption, Output
from cloudserve.cli.prompts import ask, read_secret

app = new_app()


@app.command(epilog="Example: cloudserve signup --email ann@example.com --user-name ann --full-name 'Ann Lee'")
def signup(
    *,
    email: Annotated[str | None, typer.Option(help="Your e-mail address; asked for without it.")] = None,
    user_name: Annotated[str | None, typer.Option(help="The name in your functions' URLs.")] = None,
    full_name: Annotated[str | None, typer.Option(help="Your name as people see it.")] = None,
    invitation: Annotated[str | None, typer.Option(help="The invitation, on a platform that asks for one.")] = None,
    code: Annotated[str | None, typer.Option(help="The code that was mailed to you, to finish a sign-up.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account on a platform and sign this machine in.

    The password is asked for, or read from standard input when that is no terminal. Where the platform sends mail, a
    code comes to your address: repeat the command with `--email` and `--code`.
    """
    out = Output(as_json)
    with Client(account.target(url)) as client:
        address = ask("E-mail", email, "--email")
        if code is not None:
            client.post("/api/auth/verify", {"email": address, "code": code})
        else:
            request = {
                "email": address,
                "userName": ask("User name", user_name, "--user-name"),
                "fullName": ask("Full name", full_name, "--full-name"),
                "password": read_secret("Password", confirm=True),
            }
            made = client.post("/api/auth/signup", request | ({"invitation": invitation} if invitation else {}))
            if not client.has_session:
                finish = f"cloudserve signup --email {address} --code CODE"
                out.result(
                    {"url": client.url, "user": made["user"], "verified": False},
                    f"A mail is on its way to {address}. Finish with the code in it: `{finish}`.",
                )
                return
        user = account.keep_key(client)
        out.result(
            {"url": client.url, "user": user, "verified": True}, f"Signed up at {client.url} as {user['userName']}."
        )
