"""`cloudserve delete`: removes a function for good."""

from typing import Annotated

import typer

from cloudserve.cli.client import UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.functions import NameArgument, the_function
from cloudserve.cli.output import JsonOption, Output
from cloudserve.cli.prompts import confirm

app = new_app()


@app.command(epilog="Example: cloudserve delete hello --yes")
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a function with all its versions, secrets, logs and usage."""
    out = Output(as_json)
    with connect(url) as client:
        function = the_function(client, name)
        confirm(f"Delete {name} with all its versions, secrets, logs and usage?", yes=yes)
        client.delete(f"/api/functions/{function['_id']}")
    out.result({"deleted": function["name"], "_id": function["_id"]}, f"Deleted {name}.")
