"""Asking a platform with its machine key, which is sent only to who has proved to know it already.

While a platform is down anybody may have its port. So the listener is given a nonce first, on the very connection that
the key would go over, and has to answer with an HMAC of it and of the port (`cloudserve.core.auth.proof`).
"""

import hmac
import http.client
import json
import secrets
from typing import Any, Final
from urllib.parse import urlsplit

from pulumi_cloudserve.provider.framework import ResourceError, Values

SECONDS: Final = 30.0
NONCE_BYTES: Final = 16


class UnreachableError(ResourceError):
    """Nobody answers there, or somebody else does."""


class RefusedError(ResourceError):
    """The platform answered with an error; `status` is its code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def ask(url: str, key: str, method: str, path: str, body: Values | None = None) -> dict[str, Any]:
    """Returns the answer to a request. Raises `UnreachableError` or `RefusedError`."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=SECONDS)
    try:
        connection.connect()
        connection.auto_open = 0  # a connection made anew could be to somebody else
        nonce = secrets.token_hex(NONCE_BYTES)
        _, told = _exchange(connection, "GET", f"/healthz?nonce={nonce}")
        wanted = hmac.digest(key.encode(), f"cloudserve {place.port or 80} {nonce}".encode(), "sha256").hex()
        if not hmac.compare_digest(str(told.get("proof")), wanted):
            raise UnreachableError(f"What listens at {url} is not this platform: it could not prove that.")
        content = json.dumps(body) if body is not None else None
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        status, told = _exchange(connection, method, path, content, headers)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UnreachableError(f"The platform at {url} can't be reached: {error}") from None
    finally:
        connection.close()
    if status >= 400:
        raise RefusedError(status, str(told.get("message", f"HTTP {status}")))
    return told


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    content: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    connection.request(method, path, content, headers or {})
    answer = connection.getresponse()
    told = json.loads(answer.read() or b"{}")
    return answer.status, told if isinstance(told, dict) else {}
