"""The distribution holds what the checkout holds."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {f"cloudserve/{path.relative_to(ROOT / 'platform')}" for path in (ROOT / "platform").rglob("*.py")}


def _build(folder: Path, kind: str, target: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel that was built from it, as an index would serve them."""
    target = tmp_path_factory.mktemp("dist")
    _build(ROOT, "sdist", target)
    with tarfile.open(next(target.glob("*.tar.gz"))) as archive:
        archive.extractall(target / "unpacked", filter="data")
    unpacked = next((target / "unpacked").iterdir())
    _build(unpacked, "wheel", target)
    return target


def test_the_wheel_made_from_the_sdist_has_every_module(built: Path) -> None:
    """A sdist that follows the wrong link yields an empty wheel without an error."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        modules = {name for name in wheel.namelist() if name.endswith(".py")}
    assert modules == SOURCES


def test_nothing_shadows_the_standard_library() -> None:
    """A `platform/__init__.py` would take the place of the standard module `platform` for whoever runs in the root."""
    assert not (ROOT / "platform" / "__init__.py").exists()
