"""`cloudserve rollback`: lets an earlier version answer again."""

from typing import Annotated

import typer

from cloudserve.cli.client import UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.functions import NameArgument, the_function
from cloudserve.cli.output import JsonOption, Output

app = new_app()


@app.command(epilog="Example: cloudserve rollback hello 3")
def rollback(
    name: NameArgument,
    version: Annotated[
        int, typer.Argument(min=1, metavar="VERSION", help="The version's number; `./cloudserve versions` lists them.")
    ],
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an earlier version of a function answer again."""
    out = Output(as_json)
    with connect(url) as client:
        function = the_function(client, name)
        answer = client.post(f"/api/functions/{function['_id']}/rollback", {"version": version})
    out.result(answer, f"{name} answers with version {version}.")
