"""`cloudserve logs`: what a function printed, call by call."""

import time
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import typer
from rich.markup import escape

from cloudserve.cli.client import Client, UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.functions import NameArgument, the_function
from cloudserve.cli.output import CommandError, JsonOption, Output, write_json

app = new_app()

_POLL_SECONDS: Final = 1.0
_STATUS_COLOURS: Final = {"success": "green", "error": "red", "timeout": "yellow"}


@app.command(epilog="Example: cloudserve logs hello -f --status error")
def logs(
    name: NameArgument,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing calls as they come.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Calls to show, the newest ones.")] = 20,
    status: Annotated[
        Literal["success", "error", "timeout"] | None, typer.Option(help="Only calls that ended so.")
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a function's calls, oldest first: when, how each ended, how long it took, and what it printed.

    With `--follow --json`, every call is one line of JSON.
    """
    out = Output(as_json)
    with connect(url) as client:
        function = the_function(client, name)
        found = client.get(f"/api/logs/{function['_id']}", limit=limit, status=status)["logs"]
        if as_json and not follow:
            out.result({"logs": found}, "")
            return
        if not found and not follow:
            out.say(f"No calls of {name} yet.")
        for entry in reversed(found):
            _show(out, entry)
        if follow:
            try:
                for entry in _coming(client, function["_id"], found[0]["_id"] if found else None, status):
                    _show(out, entry)
            except KeyboardInterrupt:
                raise typer.Exit(0) from None


def _coming(client: Client, function_id: str, last: str | None, status: str | None) -> Iterator[dict[str, Any]]:
    """Yields calls as they are recorded; a platform that restarts is waited for."""
    while True:
        time.sleep(_POLL_SECONDS)
        try:
            fresh = client.get(f"/api/logs/{function_id}", after=last, status=status, limit=1000)["logs"]
        except CommandError as error:
            if error.reason not in {"unreachable", "connection-lost"}:
                raise
            continue
        yield from reversed(fresh)
        if fresh:
            last = fresh[0]["_id"]


def _show(out: Output, entry: dict[str, Any]) -> None:
    if out.as_json:
        write_json(entry)
        return
    colour = _STATUS_COLOURS.get(entry["status"], "default")
    out.print(
        f"[dim]{escape(entry['startTime'])}[/] [{colour}]{entry['status']}[/] {entry['duration']:.1f} ms "
        f"{entry['memoryUsed']:.0f} MB [dim]{escape(entry['executionId'])}[/]"
    )
    for line in entry["logs"]:
        out.print(f"  [dim]{line['level']:<5}[/] {escape(line['message'])}")
    if entry.get("error"):
        out.print(f"  [red]{escape(entry['error'])}[/]")
