"""`cloudserve versions`: lists what a function can be rolled back to."""

from cloudserve.cli.client import UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.functions import NameArgument, the_function
from cloudserve.cli.output import JsonOption, Output, moment, table

app = new_app()


@app.command(epilog="Example: cloudserve versions hello")
def versions(name: NameArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List a function's versions, newest first; `*` marks the one that answers."""
    out = Output(as_json)
    with connect(url) as client:
        function = the_function(client, name)
        found = client.get(f"/api/functions/{function['_id']}/versions")["versions"]
    rows = [
        (
            "*" if version["isLive"] else "",
            version["version"],
            moment(version["createdAt"]),
            version["runtime"],
            version["sourceHash"][:12],
        )
        for version in found
    ]
    out.result({"versions": found}, table(("", "VERSION", "MADE", "RUNTIME", "SOURCES"), rows))
