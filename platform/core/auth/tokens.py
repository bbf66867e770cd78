"""Keys and session tokens: 256 random bits behind a prefix that tells them apart from anybody else's.

Only their SHA-256 is kept: with that much entropy a slow hash adds nothing, and a look-up by hash is one index probe.
"""

import hashlib
import secrets
from typing import Final

KEY_PREFIX: Final = "csk_"
SESSION_PREFIX: Final = "css_"
KEY_PATTERN: Final = "^csk_[A-Za-z0-9_-]{43}$"
_BYTES: Final = 32
_SHOWN: Final = 4


def new_api_key() -> str:
    """Returns a fresh API key, to be shown once."""
    return KEY_PREFIX + secrets.token_urlsafe(_BYTES)


def new_session_token() -> str:
    """Returns a fresh session token, for a cookie."""
    return SESSION_PREFIX + secrets.token_urlsafe(_BYTES)


def digest(token: str) -> str:
    """Returns what is kept of a token: its SHA-256, in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def hint(token: str) -> str:
    """Returns what may be shown of a token."""
    return f"{token[: len(KEY_PREFIX)]}…{token[-_SHOWN:]}"


def is_platform_credential(text: str) -> bool:
    """Tells whether a header value carries a key or session of this platform, with or without a scheme before it."""
    token = text.rpartition(" ")[2]
    return token.startswith((KEY_PREFIX, SESSION_PREFIX))
