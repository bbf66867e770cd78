"""What Pulumi is told by the environment."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudserve.cli.pulumi_cli import PulumiCli
from cloudserve.cli.pulumi_environment import PulumiEnvironment, prepare

CLI = PulumiCli(Path("/opt/pulumi/bin/pulumi"), (3, 259, 0))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and nothing chosen."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (
        "XDG_DATA_HOME",
        "XDG_CONFIG_HOME",
        "PULUMI_HOME",
        "PULUMI_BACKEND_URL",
        "PULUMI_ACCESS_TOKEN",
        "PULUMI_CONFIG_PASSPHRASE",
        "PULUMI_CONFIG_PASSPHRASE_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def prepared() -> tuple[PulumiEnvironment, list[str]]:
    said: list[str] = []
    return prepare(CLI, said.append), said


def test_keeps_the_state_on_this_machine_and_says_where(home: Path) -> None:
    """At first use; the second says nothing, and has the same passphrase."""
    environment, said = prepared()
    state, passphrase = home / ".local/share/cloudserve/pulumi", home / ".config/cloudserve/passphrase"
    assert environment.variables["PULUMI_BACKEND_URL"] == environment.backend == state.as_uri()
    assert [str(state) in said[0], str(passphrase) in said[1]] == [True, True]
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    first = passphrase.read_text()
    assert len(first) >= 40
    assert prepared() == (environment, [])
    assert passphrase.read_text() == first


def test_commands_that_begin_at_once_make_one_passphrase(home: Path) -> None:
    """The first one's counts for all, and no draft of another stays."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: prepared(), range(8)))
    folder = home / ".config/cloudserve"
    assert [path.name for path in folder.iterdir()] == ["passphrase"]
    assert len((folder / "passphrase").read_text()) >= 40


@pytest.mark.parametrize("chosen", ["s3://state", "file:///srv/state"])
def test_honours_a_backend_of_the_environment(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    """The variable is left as it is."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", chosen)
    environment, _ = prepared()
    assert environment.backend == chosen
    assert "PULUMI_BACKEND_URL" not in environment.variables


def test_honours_a_backend_the_user_is_logged_in_to(home: Path) -> None:
    """As `pulumi login` keeps it."""
    (home / ".pulumi").mkdir()
    (home / ".pulumi" / "credentials.json").write_text(json.dumps({"current": "gs://state"}))
    environment, _ = prepared()
    assert environment.backend == "gs://state"
    assert "PULUMI_BACKEND_URL" not in environment.variables


@pytest.mark.parametrize("name", ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
def test_honours_a_passphrase(monkeypatch: pytest.MonkeyPatch, home: Path, name: str) -> None:
    """None is made beside the one that was chosen, be it empty."""
    monkeypatch.setenv(name, "")
    environment, _ = prepared()
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in environment.variables
    assert not (home / ".config" / "cloudserve").exists()


def test_puts_the_cli_before_everything_else_on_path() -> None:
    """Pulumi finds its language host beside itself, and the interpreter of this program runs the stack's."""
    environment, _ = prepared()
    merged = environment.merged()
    assert merged["PATH"].startswith("/opt/pulumi/bin:")
    assert Path(merged["PULUMI_PYTHON_CMD"]).is_absolute()


def test_names_a_user_that_the_system_has_no_name_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulumi gets a user's name from us where neither the environment nor the system has one, as in many containers."""
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert prepared()[0].variables["USER"] == "4000000"
