"""`cloudserve down`: takes a platform down."""

import sys
from typing import Annotated, Any

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
    if stack.is_empty():
        out.result({"stack": name, "state": "not-created"}, f"There is nothing of the stack {name} to take down.")
        return
    outputs = stack.outputs()
    if not yes:
        question = f"Take down the stack {name}? {_fate(outputs)}"
        if not sys.stdin.isatty():
            raise CommandError(f"{question} Remedy: say so with `--yes`.", reason="not-confirmed")
        typer.confirm(question, abort=True, err=True)
    stack.destroy()
    if outputs.get("keepData") is False:
        profile.forget(outputs["url"])
    result = {"stack": name, "state": "down", "keepData": outputs.get("keepData"), "dataDir": outputs.get("dataDir")}
    out.result(result, f"The stack {name} is down. {_fate(outputs)}")


def _fate(outputs: dict[str, Any]) -> str:
    """Returns what becomes of the data; an `up` that failed half-way has not told where they are."""
    if "dataDir" not in outputs:
        return "Its data stay unless its setting keepData is false."
    if outputs["keepData"]:
        return f"Its data stay in {outputs['dataDir']}."
    return f"Its data in {outputs['dataDir']} are deleted with it."
