"""`cloudserve test`: the checks and tests of a checkout."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from cloudserve.cli import folders
from cloudserve.cli.commands import new_app
from cloudserve.cli.output import JsonOption, Output, table

app = new_app()

_MEASURED: Final = "tests/bench"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check went."""

    check: str
    passed: bool
    seconds: float


@app.command(
    epilog="Example: cloudserve test tests/unit -k supervisor",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def run(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also run the tests that bring up real servers, engines and platforms.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the checks and tests of this checkout.

    Anything else on the command line is for pytest. Exits with 1 when anything fails.
    """
    out = Output(as_json)
    checkout = folders.checkout()
    outcomes = []
    for name, command in _checks(everything, context.args):
        out.say(f"── {name}")
        began = time.monotonic()
        passed = _passes(command, checkout, quiet=as_json)
        outcomes.append(Outcome(name, passed, round(time.monotonic() - began, 1)))
    rows = [(outcome.check, "passed" if outcome.passed else "FAILED", f"{outcome.seconds} s") for outcome in outcomes]
    passed = all(outcome.passed for outcome in outcomes)
    out.result(
        {"passed": passed, "checks": [asdict(outcome) for outcome in outcomes]}, table(("CHECK", "", "TOOK"), rows)
    )
    if not passed:
        raise typer.Exit(1)


def _checks(everything: bool, pytest_arguments: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    yield "format", ["ruff", "format", "--check", "."]
    yield "lint", ["ruff", "check", "."]
    yield "types of the platform", ["mypy", "-p", "cloudserve"]
    program = ["-p", "components", "-p", "stacks", "-m", "settings", "-m", "sources", "-p", "pulumi_cloudserve"]
    yield "types of the infrastructure", ["mypy", *program]
    yield "imports", ["lint-imports"]
    if pytest_arguments:
        yield "tests", ["pytest", *([] if everything else ["-m", "not full"]), *pytest_arguments]
        return
    together = ["-n", "2", "--dist", "loadfile"]  # most of the time goes into waiting for real processes
    chosen = ["--ignore", _MEASURED] if everything else ["-m", "not full"]
    yield "tests", ["pytest", *chosen, *together]
    if everything:
        yield "measurements", ["pytest", _MEASURED]  # alone: what runs beside them would be measured too


def _passes(command: Sequence[str], checkout: Path, *, quiet: bool) -> bool:
    program = Path(sys.executable).with_name(command[0])
    env = {**os.environ, "PYTHONPATH": ".src"}
    shown = subprocess.DEVNULL if quiet else sys.stderr.fileno()
    done = subprocess.run([program, *command[1:]], cwd=checkout, env=env, stdout=shown, check=False)  # noqa: S603
    return done.returncode == 0
