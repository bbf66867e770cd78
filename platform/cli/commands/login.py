"""`cloudserve login`: signs this machine in to a platform."""

from typing import Annotated

import typer

from cloudserve.cli import account
from cloudserve.cli.client import Client, UrlOption
from cloudserve.cli.commands import new_app
from cloudserve.cli.output import JsonOption, Output
from cloudserve.cli.prompts import ask, read_secret

app = new_app()


@app.command(epilog="Example: cloudserve login --url https://faas.example.com --email ann@example.com")
def login(
    email: Annotated[str | None, typer.Option(help="The account's e-mail address; asked for without it.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign in to a platform and keep a key for it on this machine.

    The password is asked for, or read from standard input when that is no terminal.
    """
    out = Output(as_json)
    with Client(account.target(url)) as client:
        address = ask("E-mail", email, "--email")
        client.post("/api/auth/login", {"email": address, "password": read_secret("Password")})
        user = account.keep_key(client)
        out.result({"url": client.url, "user": user}, f"Signed in to {client.url} as {user['userName']}.")
