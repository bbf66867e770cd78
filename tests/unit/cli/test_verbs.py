"""Every verb explains itself, answers programs, is documented, and starts without the others."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from cloudserve.cli.main import VERBS, Verbs, app

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "cli.md"


def _group() -> Verbs:
    group = typer.main.get_command(app)
    assert isinstance(group, Verbs)
    return group


def _commands() -> Iterator[tuple[str, Any]]:
    group = _group()
    for verb in VERBS:
        command = group.get_command(None, verb)
        if isinstance(command, TyperGroup):
            for name, inner in command.commands.items():
                yield f"{verb} {name}", inner
        else:
            yield verb, command


COMMANDS = dict(_commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_of_itself(name: str) -> None:
    """`--help` ends with a line that can be typed."""
    result = CliRunner().invoke(app, [*name.split(), "--help"], terminal_width=200)
    assert result.exit_code == 0, result.output
    assert "Example: " in result.stdout
    assert f"cloudserve {name}" in " ".join(result.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json(name: str) -> None:
    """So that programs need not read tables."""
    command = COMMANDS[name]
    assert isinstance(command, TyperCommand)
    assert any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("verb", VERBS)
def test_the_list_of_verbs_tells_what_each_verb_tells_of_itself(verb: str) -> None:
    """The line in `--help` is the first line of the verb's own help."""
    command = _group().get_command(None, verb)
    assert command is not None
    assert command.help is not None
    assert command.help.splitlines()[0] == VERBS[verb]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_documented_with_an_example(verb: str) -> None:
    """docs/cli.md has a section of its own for it."""
    section = re.search(rf"^### {verb}\n(.*?)(?=^##|\Z)", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert section is not None
    assert f"    cloudserve {verb}" in section[1]


def test_the_documentation_names_no_verb_that_there_is_not() -> None:
    """Neither as a section nor in an example."""
    text = DOCS.read_text("utf-8")
    named = {*re.findall(r"^### (\S+)", text, re.MULTILINE), *re.findall(r"^ {4}cloudserve (\S+)", text, re.MULTILINE)}
    assert named <= set(VERBS)


def test_the_list_of_verbs_imports_none_of_them() -> None:
    """Nor the HTTP client, which costs more than all else."""
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom cloudserve.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([m for m in sys.modules if m.startswith(('cloudserve.cli.commands.', 'httpx2', 'pydantic'))])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".src")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_an_unknown_verb_is_a_usage_error() -> None:
    """It exits with 2 and imports nothing by that name."""
    result = CliRunner().invoke(app, ["os"])
    assert result.exit_code == 2
    assert "No such command 'os'" in result.stderr
