"""A sign-in is kept for its user alone."""

import json
import stat
from pathlib import Path

import pytest

from cloudserve.cli import profile


@pytest.fixture(autouse=True)
def _own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_without_a_sign_in_there_is_no_profile() -> None:
    """A fresh home knows no platform."""
    assert profile.load() is None
    assert profile.load("http://localhost:7700") is None


def test_the_last_sign_in_is_the_current_one() -> None:
    """Earlier ones stay known by their URL, with or without a slash at its end."""
    profile.remember("http://localhost:7700/", "http://127.0.0.1:7701/", "csk_a", "ann")
    profile.remember("https://faas.example", "https://run.faas.example", "csk_b", "bob")
    current, first = profile.load(), profile.load("http://localhost:7700")
    assert current is not None
    assert (current.name, current.api_key) == ("bob", "csk_b")
    assert first == profile.Profile("http://localhost:7700", "http://127.0.0.1:7701", "csk_a", "ann")


def test_only_the_user_can_read_it() -> None:
    """The file has mode 0600, also after it was rewritten."""
    for key in ("csk_a", "csk_b"):
        profile.remember("http://localhost:7700", "http://127.0.0.1:7701", key, "ann")
        assert stat.S_IMODE(profile.profile_path().stat().st_mode) == 0o600


def test_a_forgotten_platform_leaves_the_one_before() -> None:
    """Nothing of it stays in the file."""
    profile.remember("http://localhost:1", "http://127.0.0.1:2", "csk_a", "ann")
    profile.remember("http://localhost:3", "http://127.0.0.1:4", "csk_b", "bob")
    profile.forget("http://localhost:3")
    profile.forget("http://localhost:9")
    left = profile.load()
    assert left is not None
    assert left.url == "http://localhost:1"
    assert "csk_b" not in profile.profile_path().read_text()


def test_a_broken_file_counts_as_none() -> None:
    """The next sign-in repairs it."""
    path = profile.profile_path()
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert profile.load() is None
    profile.remember("http://localhost:1", "http://127.0.0.1:2", "csk_a", "ann")
    assert json.loads(path.read_text())["current"] == "http://localhost:1"


def test_a_key_is_not_in_the_repr() -> None:
    """So that it can't reach a log by way of a traceback."""
    assert "csk_a" not in repr(profile.Profile("http://localhost:1", "http://127.0.0.1:2", "csk_a", "ann"))
