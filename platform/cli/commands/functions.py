"""`cloudserve functions`: lists the account's functions."""

from cloudserve.cli.client import UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.output import JsonOption, Output, table

app = new_app()


@app.command(epilog="Example: cloudserve functions --json | jq -r '.functions[].endpoint'")
def functions(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List your functions with their state, live version, calls and endpoint."""
    out = Output(as_json)
    with connect(url) as client:
        found = client.get("/api/functions")["functions"]
    rows = [
        (
            function["name"],
            function["status"] if function["isActive"] else "paused",
            function.get("version") or "-",
            function["auth"],
            function["stats"]["executed"],
            function["stats"]["errors"],
            function["endpoint"],
        )
        for function in found
    ]
    shown = table(("NAME", "STATUS", "LIVE", "AUTH", "CALLS", "ERRORS", "ENDPOINT"), rows)
    out.result({"functions": found}, shown if rows else "No functions yet. Deploy one with `./cloudserve deploy PATH`.")
