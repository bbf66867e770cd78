"""`cloudserve:local:Credentials`: the files that open a platform's data, and that the infrastructure signs in with.

They are `secrets.key`, 32 random bytes in URL-safe base 64, and `machine.key`, an API key. Nothing of them enters the
state but a fingerprint. They live and die with the data folder.
"""

import base64
import hashlib
import os
import secrets
from pathlib import Path

from pulumi_cloudserve.provider.files import make_folder, write_new
from pulumi_cloudserve.provider.framework import Context, Handler, ResourceError, Values

SECRETS_KEY = "secrets.key"
MACHINE_KEY = "machine.key"


class CredentialsHandler(Handler):
    """Inputs: `folder`; `database`, whose data they open. Output: `fingerprint`."""

    type = "cloudserve:local:Credentials"
    inputs = frozenset({"folder", "database"})
    outputs = frozenset({"fingerprint"})
    replace_on = frozenset({"folder"})

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """Makes the files, or takes up those that were kept."""
        folder = Path(inputs["folder"])
        database = Path(inputs["database"])
        if database.exists() and database.stat().st_size and not (folder / SECRETS_KEY).exists():
            raise ResourceError(
                f"{folder / SECRETS_KEY} is missing, and without it the secrets in {database} can't be read. "
                "Remedy: put the file back from a backup; or, to begin anew, move the data folder away."
            )
        make_folder(folder)
        write_new(folder / SECRETS_KEY, base64.urlsafe_b64encode(os.urandom(32)).decode())
        write_new(folder / MACHINE_KEY, "csk_" + secrets.token_urlsafe(32))
        return str(folder), {"fingerprint": _fingerprint(folder)}

    def read(self, state: Values, context: Context) -> Values | None:
        """Tells whether both are there."""
        folder = Path(state["folder"])
        if not all((folder / name).exists() for name in (SECRETS_KEY, MACHINE_KEY)):
            return None
        return {"fingerprint": _fingerprint(folder)}

    def update(self, state: Values, inputs: Values, context: Context) -> Values:
        """Changes nothing: the files have no settings."""
        return {"fingerprint": state["fingerprint"]}

    def delete(self, state: Values, context: Context) -> None:
        """Leaves them to the data folder."""


def _fingerprint(folder: Path) -> str:
    return hashlib.sha256((folder / SECRETS_KEY).read_bytes()).hexdigest()[:16]
