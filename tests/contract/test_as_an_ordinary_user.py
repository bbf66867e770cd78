"""The sandbox's contract as an ordinary user, where its walls are those of tier B."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.sandboxes import TIERS_TO_TEST

USER = 12345
OF_TIER_C = "test_sandbox_claims.py"
HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
"""Everything an ordinary user needs to run tests is copied: a checkout may be in a folder that only root can enter."""


def an_interpreter() -> str | None:
    """Returns this version of Python where everybody may run it."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in ("/usr/local/bin", "/usr/bin"):
        found = shutil.which(name, path=folder)
        if found is not None:
            return found
    return None


@pytest.mark.full
@pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root, to become another user; the suite itself runs at tier B then"
)
def test_the_contract_is_kept_at_tier_b(tmp_path: Path) -> None:
    """The suites over the contract pass when another user runs them, and none is skipped."""
    python = an_interpreter()
    if python is None:
        reason = "no interpreter of this version that an ordinary user may run: install python3 system-wide"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    room = Path("/tmp") / f"cloudserve-{os.getpid()}"
    try:
        for name in ("platform", "tests"):
            shutil.copytree(CHECKOUT / name, room / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        (room / "src").mkdir()
        (room / "src" / "cloudserve").symlink_to("../platform")
        shutil.copy(CHECKOUT / "pyproject.toml", room)
        packages = next(path for path in map(Path, sys.path) if path.name == "site-packages")
        shutil.copytree(packages, room / "packages", symlinks=True)
        subprocess.run(["chown", "-R", f"{USER}:{USER}", room], check=True)
        path = os.pathsep.join(str(room / name) for name in ("src", "packages", "."))
        suites = [f"tests/contract/{file.name}" for file in HERE.glob("test_sandbox*.py") if file.name != OF_TIER_C]
        as_user = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", "--"]
        options = ["-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile"]
        ran = subprocess.run(
            [*as_user, python, "-m", "pytest", *options, "--basetemp", str(room / "temporary"), *sorted(suites)],
            check=False,
            cwd=room,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path, TIERS_TO_TEST: "B", "CI": os.environ.get("CI", "")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
    finally:
        shutil.rmtree(room, ignore_errors=True)
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
    assert " skipped" not in ran.stdout
