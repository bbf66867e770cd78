"""What is compared with is locked: the same packages on every machine, wherever they are fetched from."""

import json
import re
from pathlib import Path

import pytest

from cloudserve.cli.bench import peers
from cloudserve.cli.output import CommandError

LOCKS = Path(peers.__file__).parent


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*/requirements.txt")), ids=lambda path: path.parent.name)
def test_every_python_package_has_its_version_and_hashes(lock: Path) -> None:
    """And nothing says where it comes from."""
    text = lock.read_text("utf-8")
    packages = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert packages
    assert all(re.match(r"[\w.-]+==\S+", package) and "--hash=sha256:" in package for package in packages)
    assert "//" not in text


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*/package-lock.json")), ids=lambda path: path.parent.name)
def test_every_node_package_has_its_version_and_hash(lock: Path) -> None:
    """And nothing says where it comes from."""
    packages = json.loads(lock.read_text("utf-8"))["packages"]
    root = packages.pop("")
    assert root["dependencies"] == json.loads(lock.with_name("package.json").read_text("utf-8"))["dependencies"]
    assert packages
    for name, package in packages.items():
        assert package["version"], name
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_what_is_there_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that was cut off is made anew, a whole one is kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[Path] = []

    def make(_lock: Path, folder: Path) -> None:
        (folder / "part").touch(exist_ok=False)
        made.append(folder)
        if len(made) == 1:
            raise OSError("cut off")

    with pytest.raises(OSError, match="cut off"):
        peers._kept("requests", "requirements.txt", make)
    folder = peers._kept("requests", "requirements.txt", make)
    assert peers._kept("requests", "requirements.txt", make) == folder
    assert made == [folder, folder]


def test_what_an_installer_says_is_told(tmp_path: Path) -> None:
    """With the remedy."""
    with pytest.raises(CommandError, match=r"(?s)says:\nnot today.*Remedy: check that pip and npm reach a registry"):
        peers._run(["sh", "-c", "echo not today >&2; exit 1"], tmp_path)
