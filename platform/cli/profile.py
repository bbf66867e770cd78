"""The platforms this user is signed in to: `$XDG_CONFIG_HOME/cloudserve/profile.json`, readable by nobody else.

The file holds an API key for each platform, known by its URL, and which of them was signed in to last. It is always
written whole, by rename, so that a command that is cut off leaves the old one.
"""

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Profile:
    """A platform and the key that opens it. `name` is the account's user name."""

    url: str
    run_url: str
    api_key: str = field(repr=False)
    name: str


def profile_path() -> Path:
    """Returns where the profile is kept, whether or not it exists."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "cloudserve" / "profile.json"


def remember(url: str, run_url: str, api_key: str, name: str) -> Profile:
    """Keeps a sign-in and makes its platform the current one."""
    profile = Profile(_normal(url), run_url.rstrip("/"), api_key, name)
    content = _read()
    content["platforms"][profile.url] = {"runUrl": profile.run_url, "apiKey": api_key, "name": name}
    content["current"] = profile.url
    _write(content)
    return profile


def load(url: str | None = None) -> Profile | None:
    """Returns the sign-in for `url`, or for the platform signed in to last; None when there is none."""
    content = _read()
    wanted = _normal(url) if url else content["current"]
    kept = content["platforms"].get(wanted)
    if kept is None:
        return None
    return Profile(url=wanted, run_url=kept["runUrl"], api_key=kept["apiKey"], name=kept["name"])


def forget(url: str) -> None:
    """Drops the sign-in for `url`, if there is one."""
    content = _read()
    if content["platforms"].pop(_normal(url), None) is None:
        return
    if content["current"] == _normal(url):
        content["current"] = next(reversed(content["platforms"]), None)
    _write(content)


def _normal(url: str) -> str:
    return url.rstrip("/")


def _read() -> dict[str, Any]:
    try:
        content = json.loads(profile_path().read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        content = {}
    return {"current": content.get("current"), "platforms": content.get("platforms", {})}


def _write(content: dict[str, Any]) -> None:
    path = profile_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkstemp makes the file with mode 0600 before anything is in it.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".profile-")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
