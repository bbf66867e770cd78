"""Turning a browser's kind of sign-in into what the command line keeps: a key of its own."""

import platform as machine
from typing import Any

from cloudserve.cli import profile
from cloudserve.cli.client import Client

DEFAULT_URL = "http://localhost:7700"


def target(url: str | None) -> str:
    """Returns the platform to sign in to: `url`, the current one, or the one that `cloudserve up` starts here."""
    current = profile.load()
    return url or (current.url if current else DEFAULT_URL)


def keep_key(client: Client) -> dict[str, Any]:
    """Makes a key under the session that `client` has, remembers it, ends the session, and returns the account."""
    user = client.get("/api/auth/me")["user"]
    made = client.post("/api/keys", {"name": f"cli on {machine.node() or 'this machine'}", "scopes": _scopes()})
    profile.remember(client.url, client.run_url, made["apiKey"], user["userName"])
    client.post("/api/auth/logout")
    return dict(user)


def _scopes() -> list[str]:
    return ["invoke", "read", "deploy", "admin"]
