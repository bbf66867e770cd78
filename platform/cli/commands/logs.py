"""`cloudserve logs`: what a function printed, call by call."""

import time
from collections.abc import Iterator
from textwrap import indent
from typing import Annotated, Any, Final, Literal

import typer
from rich.markup import escape

from cloudserve.cli.client import Client, UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.functions import NameArgument, the_function
from cloudserve.cli.output import CommandError, JsonOption, Output, moment, write_json

app = new_app()

_POLL_SECONDS: Final = 1.0
_WINDOW: Final = 200
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
        asked = max(limit, _WINDOW) if follow else limit
        recent = _newest(client, function["_id"], status, asked)
        found = recent[:limit]
        if as_json and not follow:
            out.result({"logs": found}, "")
            return
        if not found and not follow:
            out.say(f"No calls of {name} yet.")
        for entry in reversed(found):
            _show(out, entry)
        if follow:
            try:
                for entry in _coming(client, function["_id"], status, known=recent):
                    _show(out, entry)
            except KeyboardInterrupt:
                raise typer.Exit(0) from None


def _newest(client: Client, function_id: str, status: str | None, limit: int) -> list[dict[str, Any]]:
    return list(client.get(f"/api/logs/{function_id}", limit=limit, status=status)["logs"])


def _coming(
    client: Client, function_id: str, status: str | None, *, known: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yields calls as they are recorded; a platform that restarts is waited for.

    Calls sort by when they began and are recorded when they end, so that a slow one comes in among older ones. What is
    new is therefore told by what was seen in the last `_WINDOW` calls, not by the newest id.
    """
    seen = {entry["_id"] for entry in known}
    oldest = known[-1]["_id"] if len(known) >= _WINDOW else ""
    while True:
        time.sleep(_POLL_SECONDS)
        try:
            recent = _newest(client, function_id, status, _WINDOW)
        except CommandError as error:
            if error.reason not in {"unreachable", "connection-lost"}:
                raise
            continue
        yield from (entry for entry in reversed(recent) if entry["_id"] not in seen and entry["_id"] > oldest)
        if recent:
            seen = {entry["_id"] for entry in recent}
            oldest = recent[-1]["_id"] if len(recent) >= _WINDOW else oldest


def _show(out: Output, entry: dict[str, Any]) -> None:
    if out.as_json:
        write_json(entry)
        return
    colour = _STATUS_COLOURS.get(entry["status"], "default")
    out.print(
        f"[dim]{moment(entry['startTime'])}[/] [{colour}]{entry['status']}[/] {entry['duration']:.1f} ms "
        f"{entry['memoryUsed']:.0f} MB [dim]{escape(entry['executionId'])}[/]"
    )
    for line in entry["logs"]:
        out.print(f"  [dim]{line['level']:<5}[/] {escape(line['message'])}")
    if entry.get("error"):
        out.print(f"[red]{escape(indent(entry['error'].rstrip(), '  '))}[/]")
