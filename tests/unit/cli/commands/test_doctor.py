"""What `doctor` looks at is what the stack's settings say."""

import socket
from pathlib import Path

import pytest

from cloudserve.cli import folders
from cloudserve.cli.commands.doctor import ports_check
from cloudserve.cli.stack_file import setting


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings' file of a stack `payments`, in a checkout of the test's own."""
    file = tmp_path / "infra" / "stacks" / "Pulumi.payments.yaml"
    file.parent.mkdir(parents=True)
    monkeypatch.setattr(folders, "checkout", lambda: tmp_path)
    return file


def test_ports_are_those_of_the_stack(settings: Path) -> None:
    """A taken one is named with its setting and the file it stands in."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        port, free = taken.getsockname()[1], other.getsockname()[1]
        other.close()
        settings.write_text(f"config:\n  cloudserve:port: {free}\n  cloudserve:runPort: {port}\n")
        found = ports_check("payments")
    assert found.state == "warning"
    assert f"{port} by process" in found.found
    assert "cloudserve:runPort" in found.found
    assert str(free) not in found.found
    assert "Pulumi.payments.yaml" in found.remedy


def test_settings_are_read_as_they_are_written(settings: Path) -> None:
    """Quoted or not, with a comment or without, and none where there is none."""
    assert setting("payments", "port") is None
    settings.write_text(
        'config:\n  # cloudserve:port: 1\n  cloudserve:port: "7800"  # ours\n  cloudserve:minimumTier: B\n'
    )
    assert setting("payments", "port") == "7800"
    assert setting("payments", "minimumTier") == "B"
    assert setting("payments", "runPort") is None
