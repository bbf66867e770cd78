"""What the processes behind a sandbox are told at their start. Nothing of it is secret: workers inherit it."""

import json
from dataclasses import dataclass
from typing import Self

from cloudserve.core.confine.bounds import Bounds


@dataclass(frozen=True, slots=True)
class Settings:
    """How to wall workers off, and the descriptors that connect to the host.

    Args:
        tier: A, B, C, or none.
        control: the zygote's socket.
        warden: the warden's socket; -1 at tier none, which has no warden.
        bounds: what a worker may use.
        node: the Node.js program, if there is one.
        node_runtime: the folder with Node's side of a worker.
        scoped: whether landlock keeps a worker's signals within; at tier C a filter stands in for it.
        egress_allow: the addresses and networks that are not public and that functions may reach all the same.
        keeps_sockets: whether the warden must make every socket itself, where it can take none from a worker.
        certificates: files and folders with certificates that the host trusts besides the system's own.
    """

    tier: str
    control: int
    warden: int
    bounds: Bounds
    node: str | None
    node_runtime: str
    scoped: bool
    certificates: tuple[str, ...] = ()
    egress_allow: tuple[str, ...] = ()
    keeps_sockets: bool = False

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads it from the JSON of its fields."""
        fields = json.loads(text)
        fields["bounds"] = Bounds(**fields["bounds"])
        for name in ("certificates", "egress_allow"):
            fields[name] = tuple(fields[name])
        return cls(**fields)
