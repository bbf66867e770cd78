"""A host that is too weak is refused with all that its owner has to know."""

import pytest

from cloudserve.core.confine.layers import NAMES, Layer
from cloudserve.core.confine.minimum import TooWeak, require
from cloudserve.core.confine.tiers import NEEDED, TIERS, Protection, Tier


def host(tier: Tier, *off: str) -> Protection:
    layers = tuple(Layer(name, name not in off, "it is off", "sudo on") for name in NAMES)
    lacking = {tier: tuple(layer for layer in layers if layer.name in NEEDED[tier] and not layer.on) for tier in TIERS}
    return Protection(tier, layers, lacking)


@pytest.mark.parametrize(
    ("found", "minimum"), [("A", "A"), ("A", "C"), ("B", "B"), ("B", "C"), ("C", "C"), ("none", "none")]
)
def test_a_host_that_is_strong_enough_passes(found: Tier, minimum: Tier) -> None:
    """As strong as asked for, or stronger."""
    require(host(found), minimum)


@pytest.mark.parametrize(("found", "minimum"), [("B", "A"), ("C", "B"), ("none", "C"), ("none", "A")])
def test_a_weaker_host_is_refused(found: Tier, minimum: Tier) -> None:
    """By the tier."""
    with pytest.raises(TooWeak, match=f"asks for tier {minimum}"):
        require(host(found), minimum)


def test_the_error_names_what_was_found_what_is_missing_the_commands_and_the_flag() -> None:
    """But not the layers that the asked tier can do without."""
    with pytest.raises(TooWeak) as refused:
        require(host("C", "user-namespace", "proc", "landlock-tcp"), "B")
    text = str(refused.value)
    assert "it gives tier C" in text
    assert "- user-namespace, proc: it is off\n  Remedy: sudo on" in text
    assert "landlock-tcp" not in text
    assert "cloudserve:minimumTier" in text
    assert "unsafe, development only: unsafe_without_walls (cloudserve:unsafeWithoutWalls)" in text
