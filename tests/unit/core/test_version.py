"""The version that the platform tells is the one it is packaged under."""

import tomllib
from pathlib import Path

from cloudserve.core.version import VERSION


def test_the_version_is_the_distribution_s() -> None:
    """`pyproject.toml` and the code agree."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
