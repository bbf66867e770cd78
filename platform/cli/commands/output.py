"""`cloudserve output`: what a stack tells about itself."""

from typing import Annotated

import typer

from cloudserve.cli.commands import new_app
from cloudserve.cli.output import CommandError, JsonOption, Output, table
from cloudserve.cli.stack import DEFAULT, Stack, StackOption

SECRET = ("adminPassword", "adminApiKey")

app = new_app()


@app.command(
    epilog='Example: curl -H "api-key: $(cloudserve output adminApiKey)" "$(cloudserve output url)/api/functions"'
)
def output(
    name: Annotated[str | None, typer.Argument(help="The output to print, and nothing else.")] = None,
    stack: StackOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Print a stack's outputs, or just the value of one.

    A secret is only shown when it is named.
    """
    out = Output(as_json)
    outputs = Stack(stack, out).outputs()
    if not outputs:
        raise CommandError(f"The stack {stack} is not up. Remedy: `./cloudserve up`.", reason="not-up")
    if name is None:
        shown = {key: "[secret]" if key in SECRET else value for key, value in sorted(outputs.items())}
        out.result(shown, table(("OUTPUT", "VALUE"), list(shown.items())))
        return
    if name not in outputs:
        raise CommandError(f"There is no output {name}. There are: {', '.join(sorted(outputs))}.", reason="no-output")
    if outputs.get(f"{name}Stale"):
        out.say(f"{name} is what the administrator began with; it was changed since, and this value is no longer good.")
    out.result(outputs[name], str(outputs[name]))
