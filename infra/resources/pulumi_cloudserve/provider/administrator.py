"""`cloudserve:local:Administrator`: the account that a platform is born with.

The provider signs in with the machine key, so nothing the administrator changes breaks an `up`. The first password and
key are kept in `administrator.json` beside the other credentials (mode 0600) and are secret outputs; they are marked
stale once changed.
"""

import json
import secrets
from pathlib import Path
from typing import Any, Final

from pulumi_cloudserve.provider.asking import RefusedError, UnreachableError, ask
from pulumi_cloudserve.provider.credentials import MACHINE_KEY
from pulumi_cloudserve.provider.files import read_json, write_text
from pulumi_cloudserve.provider.framework import Context, Handler, ResourceError, Values

KEPT: Final = "administrator.json"
PATH: Final = "/api/admin/administrator"
PASSWORD_BYTES: Final = 18
KEY_PREFIX: Final = "csk_"
KEY_BYTES: Final = 32


class AdministratorHandler(Handler):
    """Inputs: `url`, `credentials` (the folder), and for the account's birth `email`, `userName`, `fullName`.

    Outputs: `userId`, `address` (its mail address now), `password`, `apiKey`, `passwordStale`, `apiKeyStale`.
    """

    type = "cloudserve:local:Administrator"
    inputs = frozenset({"url", "credentials", "email", "userName", "fullName"})
    outputs = frozenset({"userId", "address", "password", "apiKey", "passwordStale", "apiKeyStale"})
    secret = frozenset({"password", "apiKey"})

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """Makes the account, or takes up the one that is there."""
        folder = Path(inputs["credentials"])
        file = folder / KEPT
        kept = read_json(file)
        fresh = "password" not in kept
        if fresh:
            # Written before they are used: an interrupted `create` must not leave an account that nobody can enter.
            kept = {
                "password": secrets.token_urlsafe(PASSWORD_BYTES),
                "apiKey": KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES),
            }
            write_text(file, json.dumps(kept))
        account: dict[str, Any] = {name: inputs[name] for name in ("email", "userName", "fullName")}
        chosen: dict[str, Any] = {name: kept[name] for name in ("password", "apiKey") if name in kept}
        answer = _call(inputs, "POST", {**account, **chosen})
        if answer.get("apiKey"):
            kept = {**kept, "email": inputs["email"], "apiKey": answer["apiKey"]}
            write_text(file, json.dumps(kept))
        elif fresh:  # an account that was there before has another key, which only its owner knows
            del kept["apiKey"]
            write_text(file, json.dumps(kept))
        found = _call(inputs, "GET")
        return found["user"]["_id"], _outputs(found, kept)

    def read(self, state: Values, context: Context) -> Values | None:
        """Looks at the account. While the platform is away, what was known stays."""
        try:
            found = _call(state, "GET")
        except RefusedError as error:
            if error.status == 404:
                return None
            raise
        except UnreachableError:
            return {name: state[name] for name in self.outputs}
        return _outputs(found, read_json(Path(state["credentials"]) / KEPT))

    def update(self, state: Values, inputs: Values, context: Context) -> Values:
        """Follows the platform to another address. The account's own data are changed by its owner, not here."""
        for name, setting in (("email", "cloudserve:adminEmail"), ("userName", "cloudserve:adminUserName")):
            if state[name] != inputs[name]:
                raise ResourceError(
                    f"{setting} is only used when the administrator is made; it was {state[name]}. Remedy: set it "
                    "back, and change the account by signing in to it."
                )
        return _outputs(_call(inputs, "GET"), read_json(Path(inputs["credentials"]) / KEPT))

    def delete(self, state: Values, context: Context) -> None:
        """Leaves the account to the data folder."""


def _outputs(found: Values, kept: Values) -> dict[str, Any]:
    return {
        "userId": found["user"]["_id"],
        "address": found["user"]["email"],
        "password": kept.get("password", ""),
        "apiKey": kept.get("apiKey", ""),
        "passwordStale": bool(found["passwordChanged"]) or "password" not in kept,
        "apiKeyStale": bool(found["keyChanged"]) or "apiKey" not in kept,
    }


def _call(inputs: Values, method: str, body: Values | None = None) -> dict[str, Any]:
    """Calls the platform with the machine key."""
    key = (Path(inputs["credentials"]) / MACHINE_KEY).read_text().strip()
    return ask(inputs["url"], key, method, PATH, body)
