"""Waiting for a build, with what its tools print shown as it comes."""

import sys
import time
from typing import Any, Final

from cloudserve.cli.client import Client
from cloudserve.cli.output import CommandError, Output

_POLL_SECONDS: Final = 0.2
_AWAY_SECONDS: Final = 60.0


class _Tail:
    """Writes what is new of a text that grows."""

    def __init__(self, out: Output) -> None:
        self._silent = out.as_json
        self._text = ""

    def show(self, text: str) -> None:
        # A build that a restart cut off begins its output anew.
        fresh = text.removeprefix(self._text)
        self._text = text
        if fresh and not self._silent:
            sys.stderr.write(fresh)
            sys.stderr.flush()

    def failure(self, error: str) -> str:
        """Returns what to say of a build that failed, without what its output has said already."""
        told = not self._silent and self._text.rstrip().endswith(error.rstrip())
        return "The build failed; it says why above." if told else f"The build failed: {error}"


def wait_for_build(client: Client, build_id: str, out: Output) -> dict[str, Any]:
    """Returns the build when it is done. Raises `CommandError` with its own error when it failed.

    A build survives a restart of the platform, so a platform that is away is waited for, up to a minute.
    """
    tail = _Tail(out)
    away_since: float | None = None
    while True:
        try:
            build = dict(client.get(f"/api/builds/{build_id}")["build"])
        except CommandError as error:
            now = time.monotonic()
            away_since = away_since or now
            if error.reason not in {"unreachable", "connection-lost"} or now - away_since > _AWAY_SECONDS:
                raise
        else:
            away_since = None
            tail.show(build.get("output") or "")
            if build["status"] == "active":
                return build
            if build["status"] == "failed":
                raise CommandError(
                    tail.failure(build.get("error") or "no reason was given."),
                    reason="build-failed",
                    details={"build": build},
                )
        time.sleep(_POLL_SECONDS)
