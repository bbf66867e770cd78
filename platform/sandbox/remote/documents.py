"""Deployments as they travel: their trees by hash, and their secrets in memory alone.

Nothing here tells what is in a deployment, in no error and no log.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from cloudserve.core.models.function import Egress, Limits
from cloudserve.sandbox.abc import Deployment
from cloudserve.sandbox.protocol import ProtocolError
from cloudserve.sandbox.remote.wire import document

_HASH: Final = re.compile(r"[0-9a-f]{64}")


def write_deployment(deployment: Deployment, code: str, layer: str | None) -> bytes:
    """Returns the JSON of a deployment whose trees have these hashes."""
    return orjson.dumps(
        {
            "versionId": deployment.version_id,
            "functionId": deployment.function_id,
            "ownerId": deployment.owner_id,
            "number": deployment.number,
            "runtime": deployment.runtime,
            "code": code,
            "entry": deployment.entry,
            "handler": deployment.handler,
            "layer": layer,
            "limits": deployment.limits.model_dump(),
            "egress": deployment.egress.model_dump(),
            "environment": dict(deployment.environment),
            "functionName": deployment.function_name,
        }
    )


@dataclass(frozen=True, slots=True)
class Arrived:
    """A deployment that came over the wire: `code` and `layer` are hashes of trees, not on this host yet perhaps."""

    code: str
    layer: str | None
    _found: dict[str, Any]

    def __repr__(self) -> str:
        return f"Arrived(code={self.code!r}, layer={self.layer!r})"

    @property
    def function_id(self) -> str:
        """The function that it is a version of."""
        return str(self._found["functionId"])

    def placed(self, code: Path, layer: Path | None) -> Deployment:
        """Returns the deployment, with the folders of its trees. Raises `ProtocolError`."""
        found = self._found
        try:
            return Deployment(
                version_id=found["versionId"],
                function_id=found["functionId"],
                owner_id=found["ownerId"],
                number=found["number"],
                runtime=found["runtime"],
                code=code,
                entry=found["entry"],
                handler=found["handler"],
                layer=layer,
                limits=Limits.model_validate(found["limits"]),
                egress=Egress.model_validate(found["egress"]),
                environment=found["environment"],
                function_name=found["functionName"],
            )
        except (KeyError, ValueError):
            raise ProtocolError("A deployment that can't be read: is the gateway of another release?") from None


def read_deployment(payload: bytes) -> Arrived:
    """Returns what `write_deployment` wrote. Raises `ProtocolError`."""
    found = document(payload)
    code, layer = found.get("code"), found.get("layer")
    for tree in (code, layer):
        if tree is not None and not (isinstance(tree, str) and _HASH.fullmatch(tree)):
            raise ProtocolError("A deployment with a tree that is named by no hash.")
    if code is None or not isinstance(found.get("functionId"), str):
        raise ProtocolError("A deployment without code or function.")
    return Arrived(code, layer, found)
