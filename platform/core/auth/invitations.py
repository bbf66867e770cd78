"""Invitations: a sealed note that lets one mail address sign up, for a week. Nothing of it is kept.

It works once, because a mail address has one account.
"""

import base64
import binascii
import json
from datetime import datetime, timedelta
from typing import Final

from cloudserve.core.auth.sealing import SealBroken, Sealer
from cloudserve.core.models.base import utc_now

LIFETIME: Final = timedelta(days=7)
PREFIX: Final = "csi_"
_CONTEXT: Final = "invitation"


class Invitations:
    """Writes invitations and reads them."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def issue(self, email: str) -> tuple[str, datetime]:
        """Returns an invitation for a normalised mail address, and when it ends."""
        expires_at = utc_now() + LIFETIME
        note = json.dumps({"email": email, "expires": expires_at.timestamp()})
        sealed = self._sealer.seal(note, context=_CONTEXT)
        return PREFIX + base64.urlsafe_b64encode(sealed).decode().rstrip("="), expires_at

    def invited(self, invitation: str) -> str | None:
        """Returns the mail address that an invitation is for; None when it is not ours, or has ended."""
        text = invitation.removeprefix(PREFIX)
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            note = json.loads(self._sealer.open(sealed, context=_CONTEXT))
        except (SealBroken, binascii.Error, ValueError):
            return None
        return str(note["email"]) if note["expires"] > utc_now().timestamp() else None
