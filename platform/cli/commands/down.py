"""`cloudserve down`: takes a platform down."""

import sys
from typing import Annotated

import typer

from cloudserve.cli import profile
from cloudserve.cli.commands import new_app
from cloudserve.cli.output import CommandError, JsonOption, Output
from cloudserve.cli.stack import DEFAULT, Stack, StackArgument

app = new_app()


@app.command(epilog="Example: cloudserve down --yes")
def down(
    name: StackArgument = DEFAULT,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take a platform down; its data stay for the next `up`.

    With the setting `keepData` false, they are deleted.
    """
    out = Output(as_json)
    stack = Stack(name, out)
    outputs = stack.outputs()
    if not outputs:
        out.result({"stack": name, "state": "not-created"}, f"There is nothing of the stack {name} to take down.")
        return
    data = outputs["dataDir"]
    fate = f"Its data stay in {data}." if outputs["keepData"] else f"Its data in {data} will be DELETED."
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError(f"This takes down the stack {name}. {fate} Remedy: say so with `--yes`.")
        typer.confirm(f"Take down the stack {name}? {fate}", abort=True, err=True)
    stack.destroy()
    if not outputs["keepData"]:
        profile.forget(outputs["url"])
    told = f"The stack {name} is down. " + (f"Its data stay in {data}." if outputs["keepData"] else "Nothing is left.")
    out.result({"stack": name, "state": "down", "dataKept": outputs["keepData"], "dataDir": data}, told)
