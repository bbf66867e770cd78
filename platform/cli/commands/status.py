"""`cloudserve status`: how a platform is doing."""

from datetime import timedelta
from typing import Any

import typer

from cloudserve.cli.commands import new_app
from cloudserve.cli.local_health import health
from cloudserve.cli.output import JsonOption, Output, table
from cloudserve.cli.stack import DEFAULT, Stack, StackArgument
from cloudserve.cli.walls import walls_rows
from cloudserve.core.confine.attacks import outcomes_at

app = new_app()


@app.command(epilog="Example: cloudserve status --json | jq -r .state")
def status(name: StackArgument = DEFAULT, as_json: JsonOption = False) -> None:
    """Show a platform's process, health, uptime and sandbox.

    Exits with 1 unless it is healthy.
    """
    out = Output(as_json)
    found = health(Stack(name, out).outputs())
    out.result({"stack": name, **found, **_attacks(found)}, table(("", ""), _rows(name, found)))
    if found["state"] != "healthy":
        raise typer.Exit(1)


def _rows(stack: str, found: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("stack", stack), ("state", _STATES[found["state"]])]
    if "url" in found:
        rows += [("platform", found["url"]), ("functions", found["runUrl"])]
    if found.get("uptimeSeconds") is not None:
        rows.append(("up for", str(timedelta(seconds=found["uptimeSeconds"]))))
    if "supervisor" in found:
        process = f"{found['process']}, supervised by {found['supervisor']}, restarted {found['restarts']} times"
        rows.append(("process", process))
    if "walls" in found:
        rows += walls_rows(found["walls"])
    if "sandbox" in found:
        rows.append(("sandbox", ", ".join(f"{name}: {value}" for name, value in found["sandbox"].items())))
    if "dataDir" in found:
        rows += [("data", found["dataDir"]), ("log", found["log"])]
    return rows


def _attacks(found: dict[str, Any]) -> dict[str, Any]:
    """Returns what becomes of each attack at the platform's tier (docs/sandbox.md), where that is known."""
    tier = found.get("walls", {}).get("tier", "none")
    return {} if tier == "none" else {"attacks": outcomes_at(tier)}


_STATES = {
    "healthy": "healthy",
    "unhealthy": "unhealthy: it runs, but does not answer. Its log says more.",
    "stopped": "stopped. `./cloudserve up` starts it.",
    "not-created": "not created. `./cloudserve up` makes it.",
}
