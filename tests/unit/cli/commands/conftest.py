"""What the tests of the verbs share."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from cloudserve.cli.main import app

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Runs the command line with these words, and this on its standard input."""

    def run_words(*words: str, stdin: str | bytes = "", code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(words), input=stdin)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run_words
