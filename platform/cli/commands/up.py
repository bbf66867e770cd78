"""`cloudserve up`: brings a platform up, or to what its settings say now."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from cloudserve.cli import profile
from cloudserve.cli.commands import new_app
from cloudserve.cli.local_health import health
from cloudserve.cli.node import require_node
from cloudserve.cli.output import JsonOption, Output
from cloudserve.cli.stack import DEFAULT, Stack, StackArgument
from cloudserve.cli.walls import walls_line

app = new_app()


@app.command(epilog="Example: cloudserve up && cloudserve deploy hello.py")
def up(name: StackArgument = DEFAULT, as_json: JsonOption = False) -> None:
    """Bring a platform up, and sign this machine in as its administrator.

    Run it again after a change of settings, after a reboot, or whenever in doubt: what is as it should be stays.
    """
    out = Output(as_json)
    require_node()
    stack = Stack(name, out)
    stack.make()
    stack.up()
    outputs = stack.outputs()
    walls = health(outputs).get("walls")
    signed_in = _sign_in(outputs, out)
    shown = {name: value for name, value in outputs.items() if name not in ("adminPassword", "adminApiKey")}
    document = {"stack": name, "outputs": shown, "signedIn": signed_in, "walls": walls}
    out.result(document, _summary(name, outputs, walls))


def _sign_in(outputs: dict[str, Any], out: Output) -> bool:
    """Keeps the administrator's key on this machine, unless it no longer opens anything."""
    if outputs["adminApiKeyStale"]:
        out.say("The administrator's first key was changed, so this machine's sign-in stays as it was.")
        return False
    before = profile.load()
    if before is not None and before.url != outputs["url"].rstrip("/"):
        out.say(f"Commands on this machine now speak to {outputs['url']}; to the one before with --url {before.url}.")
    profile.remember(outputs["url"], outputs["runUrl"], outputs["adminApiKey"], outputs["adminUserName"])
    return True


def _summary(stack: str, outputs: dict[str, Any], walls: dict[str, Any] | None) -> Table:
    option = "" if stack == DEFAULT else f" --stack {stack}"
    password = (
        "[dim](password was changed)[/]"
        if outputs["adminPasswordStale"]
        else f"password: [bold]./cloudserve output adminPassword{option}[/]"
    )
    made = Table(box=None, show_header=False, pad_edge=False, title="\nCloudServe is up.", title_justify="left")
    made.add_row("Platform", escape(outputs["url"]))
    made.add_row("Functions", escape(outputs["runUrl"]))
    made.add_row("Administrator", f"{escape(outputs['adminEmail'])}, {password}")
    if walls is not None:
        weak = "" if walls["tier"] in ("A", "B") else "  [dim](./cloudserve doctor says what would raise it)[/]"
        made.add_row("Walls", escape(walls_line(walls)) + weak)
    made.add_row("Data", escape(outputs["dataDir"]))
    made.add_row("Next", "[bold]./cloudserve deploy PATH[/]")
    return made
