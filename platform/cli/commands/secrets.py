"""`cloudserve secrets`: the values a function reads that nobody else may see."""

from typing import Annotated

import typer

from cloudserve.cli.client import UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.functions import NameArgument, the_function
from cloudserve.cli.output import JsonOption, Output, moment, table
from cloudserve.cli.prompts import confirm, read_secret

app = new_app(
    description="Set, list and delete a function's secrets; their values are never shown again.",
    example="cloudserve secrets set hello DATABASE_URL < url.txt",
)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The secret's name, as the function reads it.")]


@app.command("set", epilog='Example: printf %s "$TOKEN" | cloudserve secrets set hello API_TOKEN')
def set_secret(name: NameArgument, key: KeyArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Set a secret to what you type, or to what comes on standard input."""
    out = Output(as_json)
    with connect(url) as client:
        function = the_function(client, name)
        client.put(f"/api/functions/{function['_id']}/secrets/{key}", {"value": read_secret("Value")})
    out.result({"function": function["name"], "name": key}, f"{key} is set for {name}.")


@app.command("list", epilog="Example: cloudserve secrets list hello")
def list_secrets(name: NameArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the names of a function's secrets and when each was set."""
    out = Output(as_json)
    with connect(url) as client:
        function = the_function(client, name)
        answer = client.get(f"/api/functions/{function['_id']}/secrets")
    rows = [(secret["name"], moment(secret["updatedAt"])) for secret in answer["secrets"]]
    out.result(answer, table(("NAME", "SET"), rows) if rows else f"{name} has no secrets.")


@app.command("delete", epilog="Example: cloudserve secrets delete hello API_TOKEN --yes")
def delete_secret(
    name: NameArgument,
    key: KeyArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a secret of a function."""
    out = Output(as_json)
    with connect(url) as client:
        function = the_function(client, name)
        confirm(f"Delete the secret {key} of {name}?", yes=yes)
        client.delete(f"/api/functions/{function['_id']}/secrets/{key}")
    out.result({"function": function["name"], "deleted": key}, f"Deleted {key} of {name}.")
