"""Owners' caches last from build to build, but neither grow nor stay for ever."""

import os
import time
from pathlib import Path

import pytest

from cloudserve.api.build import homes
from cloudserve.api.build.homes import UNUSED_SECONDS, Homes


async def test_a_home_that_has_grown_too_large_goes_after_its_last_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while another build uses it, and others' homes stay."""
    monkeypatch.setattr(homes, "MAX_BYTES", 8192)
    for owner, size in (("ada", 100_000), ("eve", 100)):
        (tmp_path / owner).mkdir()
        (tmp_path / owner / "file").write_bytes(bytes(size))
    one = Homes(tmp_path)
    async with one.in_use("ada"), one.in_use("eve"):
        async with one.in_use("ada"):
            pass
        assert (tmp_path / "ada").is_dir()
    assert os.listdir(tmp_path) == ["eve"]  # noqa: PTH208 - names are what is wanted


async def test_a_build_without_packages_has_no_home(tmp_path: Path) -> None:
    """And nothing goes wrong for want of it."""
    async with Homes(tmp_path).in_use("ada"):
        pass
    assert not (tmp_path / "ada").exists()


async def test_homes_that_nobody_uses_go(tmp_path: Path) -> None:
    """After a month, what a killed sweep has left among them."""
    for name in ("ada", "eve", ".ada.left"):
        (tmp_path / name).mkdir()
    for name in ("ada", ".ada.left"):
        os.utime(tmp_path / name, (0, time.time() - UNUSED_SECONDS - 60))
    await Homes(tmp_path).sweep()
    await Homes(tmp_path / "none").sweep()
    assert os.listdir(tmp_path) == ["eve"]  # noqa: PTH208 - names are what is wanted
