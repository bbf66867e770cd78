"""`cloudserve env`: what plain `pulumi` needs."""

import os
import shlex

from cloudserve.cli.commands import new_app
from cloudserve.cli.output import JsonOption, Output
from cloudserve.cli.stack import DEFAULT, Stack, StackArgument

app = new_app()


@app.command(epilog='Example: eval "$(./cloudserve env)" && pulumi preview')
def env(name: StackArgument = DEFAULT, as_json: JsonOption = False) -> None:
    """Print what to set so that plain `pulumi` works on a stack.

    That is the backend, the passphrase's file, PATH, Python and the stack's name.
    """
    out = Output(as_json)
    stack = Stack(name, out)
    stack.make()
    variables = {**stack.environment.variables, "PULUMI_STACK": name}
    present = os.environ.get("PATH", "").split(os.pathsep)
    missing = [str(folder) for folder in stack.environment.path if str(folder) not in present]
    lines = [f"export {variable}={shlex.quote(value)}" for variable, value in variables.items()]
    if missing:
        lines.append(f'export PATH={shlex.quote(os.pathsep.join(missing))}:"$PATH"')
    out.result({**variables, "PATH": os.pathsep.join([*missing, *present])}, "\n".join(lines))
