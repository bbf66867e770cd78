"""`./cloudserve`: the launcher, in a checkout of its own whose interpreter and packages are stand-ins.

The stand-in interpreter makes virtual environments whose `python` writes down what it is asked for.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PYTHON = """#!/bin/sh
# Stands in for an interpreter: tells that it is new enough, and makes environments.
case "$1" in
    -c) echo "$0" ;;
    -m)
        echo "$@" >>"$CALLS"
        case "$2 $3" in
            "venv --clear") mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
            "pip install") [ -z "${FAIL:-}" ] || exit 1 ;;
            "cloudserve.cli "*) echo "ran $3 from $(pwd)" ;;
        esac ;;
esac
"""


class Checkout:
    """A checkout with the launcher and what it compares."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls_file = root.parent / "calls"
        for name in ("cloudserve", "pyproject.toml", "requirements", "infra/resources/pyproject.toml"):
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, target)
        self.bin = root.parent / "bin"
        self.bin.mkdir()
        (self.bin / "python3.12").write_text(PYTHON)
        (self.bin / "python3.12").chmod(0o755)

    def run(
        self, *arguments: str, program: Path | None = None, path: str = "", code: int = 0, **env: str
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [program or self.root / "cloudserve", *arguments],
            env={"PATH": path or f"{self.bin}:/usr/bin:/bin", "CALLS": str(self.calls_file), **env},
            cwd=self.root.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    def calls(self) -> list[str]:
        """Returns what the interpreters were asked for since the last time."""
        calls = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return calls


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_sets_up_once_and_says_so(checkout: Checkout) -> None:
    """The first run makes the environment; the second touches neither it nor pip."""
    first = checkout.run("status")
    assert first.stdout == f"ran status from {checkout.root.parent}\n"
    assert "making .venv" in first.stderr
    assert "installing the locked packages (requirements/base.txt)" in first.stderr
    assert any("--require-hashes" in call for call in checkout.calls())
    second = checkout.run("status")
    assert second.stderr == ""
    assert checkout.calls() == ["-m cloudserve.cli status"]


def test_works_through_links_from_any_folder(checkout: Checkout, tmp_path: Path) -> None:
    """A link to a link, relative or absolute."""
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "inner").symlink_to("../checkout/cloudserve")
    (tmp_path / "outer").symlink_to(tmp_path / "links" / "inner")
    assert checkout.run("status", program=tmp_path / "outer").stdout.startswith("ran status")
    assert (checkout.root / ".venv").is_dir()


def test_installs_what_the_command_needs(checkout: Checkout) -> None:
    """The tools of the tests come with `test`; they hold what all else needs."""
    checkout.run("status")
    checkout.calls()
    checkout.run("test")
    assert any("requirements/dev.txt" in call for call in checkout.calls())
    checkout.run("status")
    assert checkout.calls() == ["-m cloudserve.cli status"]


@pytest.mark.parametrize("file", ["requirements/base.txt", "pyproject.toml", "infra/resources/pyproject.toml"])
def test_installs_again_when_a_lock_changes(checkout: Checkout, file: str) -> None:
    """Also when the entry points or the resources change."""
    checkout.run("status")
    checkout.calls()
    with (checkout.root / file).open("a") as changed:
        changed.write("# changed\n")
    checkout.run("status")
    assert any("pip install" in call for call in checkout.calls())


def test_repairs_a_set_up_that_was_cut_off(checkout: Checkout) -> None:
    """What failed or was killed half-way is done again by the next run."""
    failed = checkout.run("status", code=1, FAIL="yes")
    assert "Check the network" in failed.stderr
    assert checkout.run("status").stdout.startswith("ran status")
    (checkout.root / ".venv" / "bin" / "python").unlink()
    assert checkout.run("status").stdout.startswith("ran status")


def test_takes_over_from_a_set_up_that_was_killed(checkout: Checkout) -> None:
    """The guard of a dead set-up is no obstacle."""
    guard = checkout.root / ".venv.lock"
    guard.mkdir()
    dead = subprocess.run(["/bin/sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout
    (guard / "pid").write_text(dead)
    assert checkout.run("status").stdout.startswith("ran status")
    assert not guard.exists()


def test_waits_for_a_set_up_that_is_at_work(checkout: Checkout) -> None:
    """Two at once would break each other."""
    guard = checkout.root / ".venv.lock"
    guard.mkdir()
    other = subprocess.Popen(["/bin/sleep", "60"])
    (guard / "pid").write_text(str(other.pid))
    waiting = subprocess.Popen(
        [checkout.root / "cloudserve", "status"],
        env={"PATH": f"{checkout.bin}:/usr/bin:/bin", "CALLS": str(checkout.calls_file)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    assert "another set-up is at work" in waiting.stderr.readline()
    other.kill()
    other.wait()
    out, _ = waiting.communicate(timeout=60)
    assert out.startswith("ran status")


def test_names_the_remedy_where_there_is_no_python(checkout: Checkout, tmp_path: Path) -> None:
    """In one sentence, not a traceback."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cmp", "mkdir", "rm", "cat", "dirname", "readlink", "sleep"):
        (tools / name).symlink_to(shutil.which(name) or os.devnull)
    failed = checkout.run("status", path=str(tools), code=1)
    assert "needs Python 3.11 or newer" in failed.stderr
    assert "Install it" in failed.stderr
