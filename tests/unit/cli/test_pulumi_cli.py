"""Finding the Pulumi CLI; scripts take its place, and that of Go."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudserve.cli import pulumi_cli
from cloudserve.cli.output import CommandError

Script = Callable[[Path, str], Path]


@pytest.fixture
def script() -> Script:
    """Writes an executable shell script."""

    def write(file: Path, text: str) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        return file

    return write


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, a PATH with one folder of our own, and no network."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"]))
    monkeypatch.setattr(pulumi_cli, "_INSTALLER", "http://127.0.0.1:9/install.sh")
    return tmp_path


def install(script: Script, folder: Path, version: str, *, host: bool = True) -> Path:
    """Puts a CLI that tells a version into a folder."""
    if host:
        script(folder / "pulumi-language-python", "true")
    return script(folder / "pulumi", f"echo v{version}")


def test_takes_the_one_on_path(home: Path, script: Script) -> None:
    """Even when there are newer ones elsewhere: the user has chosen it."""
    chosen = install(script, home / "bin", "3.260.0")
    install(script, home / ".pulumi/versions/3.300.0/bin", "3.300.0")
    found = pulumi_cli.find()
    assert found is not None
    assert (found.executable, found.version) == (chosen, (3, 260, 0))


def test_takes_the_newest_under_the_home_folder(home: Path, script: Script) -> None:
    """Versions are compared as numbers; half-made folders are passed over."""
    install(script, home / ".pulumi/versions/3.300.0/bin", "3.300.0")
    newest = install(script, home / ".pulumi/versions/3.1000.0/bin", "3.1000.0")
    install(script, home / ".pulumi/versions/.draft-x/bin", "9.0.0")
    found = pulumi_cli.find()
    assert found is not None
    assert found.executable == newest


@pytest.mark.parametrize(
    ("version", "host"), [("3.100.0", True), ("3.259.0", False), ("broken", True)], ids=["old", "no-host", "broken"]
)
def test_passes_over_what_can_not_run_programs(home: Path, script: Script, version: str, host: bool) -> None:
    """Too old, without the language host for Python, or not working at all."""
    install(script, home / "bin", version, host=host)
    assert pulumi_cli.find() is None


def test_names_every_failure_and_one_remedy(script: Script, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing works, the message says what was tried and what to do."""
    monkeypatch.setattr(pulumi_cli.shutil, "which", lambda name: None)
    said: list[str] = []
    with pytest.raises(CommandError) as caught:
        pulumi_cli.obtain(said.append)
    assert "installer can't be reached" in caught.value.message
    assert "there is no Go" in caught.value.message
    assert caught.value.message.count("Remedy:") == 1
    assert len(said) == 3


GO = """
case "$1 $2" in
    "env GOVERSION") echo go1.26.8 ;;
    "list -m") echo "$SDK" ;;
    build*)
        [ -f go.sum ] || exit 1
        case "$GOFLAGS" in *-mod=readonly*) ;; *) exit 1 ;; esac
        while [ "$1" != -o ]; do shift; done
        printf '#!/bin/sh\\necho v3.259.0\\n' >"$2"; chmod +x "$2" ;;
esac"""


def test_builds_it_from_go_modules(home: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what go.sum vouches for; the folder appears whole, with the four programs."""
    script(home / "bin" / "go", GO)
    sdk = home / "sdk"
    for path in ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python"):
        script(sdk / path, "true")
    monkeypatch.setenv("SDK", str(sdk))
    said: list[str] = []
    cli = pulumi_cli.obtain(said.append)
    assert cli.folder == home / ".pulumi/versions/3.259.0/bin"
    assert {path.name for path in cli.folder.iterdir()} == {
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
        "pulumi-resource-pulumi-python",
    }
    assert [path.name for path in (home / ".pulumi/versions").iterdir()] == ["3.259.0"]
    assert any("Building Pulumi" in line for line in said)


def test_a_failed_build_leaves_nothing(home: Path, script: Script) -> None:
    """And says what Go has said."""
    script(home / "bin" / "go", 'case "$1" in env) echo go1.26.8 ;; *) echo "checksum mismatch" >&2; exit 1 ;; esac')
    with pytest.raises(CommandError, match="checksum mismatch"):
        pulumi_cli.obtain(lambda text: None)
    assert list((home / ".pulumi/versions").iterdir()) == []


def test_does_not_build_with_an_old_go(home: Path, script: Script) -> None:
    """One that can't fetch the toolchain it needs either."""
    script(home / "bin" / "go", "echo go1.19.3")
    with pytest.raises(CommandError, match=r"needs Go 1\.26"):
        pulumi_cli.obtain(lambda text: None)
