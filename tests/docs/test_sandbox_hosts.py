"""What docs/sandbox-hosts.md says holds: the certificates that it makes, and its figures."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cloudserve.sandbox.remote import choice, host, link, members
from cloudserve.sandbox.remote.client import RemoteSandbox
from cloudserve.sandbox.remote.host import SandboxHost
from cloudserve.sandbox.remote.tls import GATEWAY, SANDBOX, TlsFiles
from tests.unit.sandbox.remote.scripted import Scripted

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox-hosts.md").read_text("utf-8")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl on this machine")
async def test_certificates_that_were_made_as_it_says_are_accepted(tmp_path: Path) -> None:
    """A host's, and a gateway's from the same authority."""
    commands = [line.strip() for line in re.findall(r"^    (.+)$", TEXT, re.MULTILINE)]
    own = tmp_path / "host", tmp_path / "gateway"
    own[0].mkdir()
    run("\n".join(commands), own[0])
    shutil.copytree(*own)
    run("\n".join(commands[1:]).replace(SANDBOX, GATEWAY), own[1])
    served, calling = (TlsFiles(folder / "ca.crt", folder / "tls.crt", folder / "tls.key") for folder in own)
    listening = SandboxHost(Scripted(), listen="127.0.0.1:0", tls=served, folder=tmp_path / "trees")
    await listening.start()
    remote = RemoteSandbox(f"127.0.0.1:{listening.address[1]}", tls=calling)
    await remote.start()
    try:
        assert remote.reachable == 1
    finally:
        await remote.close(grace_seconds=0)
        await listening.close(grace_seconds=0)


def run(script: str, folder: Path) -> None:
    """Runs lines of a shell."""
    subprocess.run(["sh", "-e", "-c", script], cwd=folder, check=True, capture_output=True)


def test_its_figures_are_those_of_the_code() -> None:
    """Bounds and times."""
    assert f"{choice.BALANCE} times its share" in TEXT
    assert f"back within {link.DEAD_TICKS * link.TICK_SECONDS:g} s" in TEXT
    assert link.SUSPECT_TICKS * link.TICK_SECONDS + link.TICK_SECONDS <= 1
    assert f"over {host.CACHE_BYTES // 1024**3} GiB" in TEXT
    assert (members.LOOK_UP_SECONDS, members.ABSENCES) == (1, 3)
