"""The tier of a host: how well it can keep strangers' code apart, decided from the layers that work on it.

A    root: worker processes with users, namespaces and mounts of their own
B    an ordinary user: the same within a user namespace, whose users are all this one outside
C    without privileges: files, signals, system calls and connections are confined, but all processes of the sandbox
     belong to one user and see each other; so it serves one owner at a time
none nothing that would keep a function from what this user can do

What a tier needs is `NEEDED`; nothing else decides, neither who runs the platform nor where. Layers that no tier needs
(control groups, landlock's TCP rules and scopes) add to it where they are on, and something else stands in where they
are off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cloudserve.core.confine.layers import MOUNTS, NAMESPACES, Layer, Tries, try_layers

Tier = Literal["A", "B", "C", "none"]

TIERS: Final[tuple[Tier, ...]] = ("A", "B", "C", "none")
"""The strongest first."""

TITLES: Final[dict[Tier, str]] = {
    "A": "users, namespaces and mounts of their own, as root",
    "B": "namespaces and mounts of their own, as an ordinary user",
    "C": "files, system calls and connections confined, one owner at a time",
    "none": "no walls",
}

_EVERYWHERE: Final = (
    "capabilities",
    "landlock",
    "seccomp",
    "seccomp-notification",
    "notifier-memory",
    "rlimits",
)
_APART: Final = (*NAMESPACES, *MOUNTS, "notifier-handover")

NEEDED: Final[dict[Tier, tuple[str, ...]]] = {
    "A": (*_APART, "other-users", *_EVERYWHERE),
    "B": ("user-namespace", *_APART, *_EVERYWHERE),
    # No process namespace keeps its workers from the platform's own processes there. Landlock does, where it has
    # scopes; where it has none a filter stands in.
    "C": (*_EVERYWHERE, "notifier-handover"),
    "none": (),
}
"""The layers without which there is no such tier."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What a host gives: its tier, every layer as that tier uses it, and what each stronger tier lacks."""

    tier: Tier
    layers: tuple[Layer, ...]
    lacking: Mapping[Tier, tuple[Layer, ...]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The tier in words."""
        return TITLES[self.tier]

    @property
    def on(self) -> tuple[Layer, ...]:
        """The layers that work."""
        return tuple(layer for layer in self.layers if layer.on)

    @property
    def off(self) -> tuple[Layer, ...]:
        """The layers that do not."""
        return tuple(layer for layer in self.layers if not layer.on)

    def has(self, name: str) -> bool:
        """Tells whether a layer works."""
        return any(layer.name == name and layer.on for layer in self.layers)

    def summary(self) -> dict[str, Any]:
        """Returns what anybody may know, for the API."""
        return {"tier": self.tier, "title": self.title}

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it, for the API."""
        return {
            **self.summary(),
            "layersOn": [{"name": layer.name, "how": layer.why} for layer in self.on],
            "layersOff": [{"name": layer.name, "why": layer.why, "remedy": layer.remedy} for layer in self.off],
        }


def detect(at_most: Tier = "A") -> Protection:
    """Tries the layers of this host and returns the strongest tier that they allow, `at_most` at best."""
    return decide(try_layers(), at_most)


def decide(tries: Tries, at_most: Tier = "A") -> Protection:
    """Returns the strongest tier that layers allow.

    Tier A takes the namespaces that this process's own privileges give, tier B those of a user namespace; the others
    use none, and show what would be nearest.
    """
    nearest = max(tries.user, tries.own, key=lambda layers: sum(layer.on for layer in layers))
    ways = {"A": tries.own, "B": tries.user, "C": nearest, "none": nearest}
    lacking = {
        tier: tuple(layer for layer in ways[tier] if layer.name in NEEDED[tier] and not layer.on) for tier in TIERS
    }
    tier = next(tier for tier in TIERS[TIERS.index(at_most) :] if not lacking[tier])
    return Protection(tier, ways[tier], lacking)
