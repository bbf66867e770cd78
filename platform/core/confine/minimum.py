"""The weakest tier that a platform starts with: on a weaker host it refuses, and says what would help."""

from cloudserve.core.confine.layers import alike
from cloudserve.core.confine.tiers import TIERS, TITLES, Protection, Tier


class TooWeak(Exception):  # noqa: N818 - reads as what the host is
    """This host's walls are weaker than they must be. Its text is for the person who starts the platform."""

    def __init__(self, found: Protection, minimum: Tier) -> None:
        missing = "\n".join(
            f"- {names}: {why}\n  Remedy: {remedy}" for names, why, remedy in alike(found.lacking[minimum])
        )
        super().__init__(
            f"This host is too weak for other people's code: it gives {_named(found.tier)}, and minimum_tier "
            f"(cloudserve:minimumTier) asks for {_named(minimum)}.\n"
            f"For tier {minimum} it lacks:\n{missing}\n"
            "Or, unsafe, development only: unsafe_without_walls (cloudserve:unsafeWithoutWalls) set to true starts it "
            "all the same, and functions can then read and do what your user can."
        )


def require(found: Protection, minimum: Tier) -> None:
    """Raises `TooWeak` when a host gives less than the minimum."""
    if TIERS.index(found.tier) > TIERS.index(minimum):
        raise TooWeak(found, minimum)


def _named(tier: Tier) -> str:
    title = TITLES[tier]
    return title if tier == "none" else f"tier {tier} ({title})"
