"""The tier follows from the layers alone."""

import pytest

from cloudserve.core.confine.layers import NAMES, Layer, Tries
from cloudserve.core.confine.tiers import NEEDED, TIERS, Tier, decide

ROOT_ONLY = {"other-users"}


def layers(*off: str) -> tuple[Layer, ...]:
    return tuple(Layer(name, name not in off, "" if name not in off else "why", "how") for name in NAMES)


@pytest.mark.parametrize(
    ("own", "user", "tier"),
    [
        pytest.param((), (), "A", id="root with everything"),
        pytest.param(("landlock-tcp", "landlock-signals"), ("landlock-tcp", "landlock-signals"), "A", id="Linux 5.15"),
        pytest.param(("user-namespace",), NAMES, "A", id="root where user namespaces are off"),
        pytest.param(("other-users",), ("other-users",), "B", id="root that can become nobody else"),
        pytest.param(("mount-namespace", "tmpfs"), (), "B", id="an ordinary user with a user namespace"),
        pytest.param(("proc",), ("proc",), "C", id="a container with a masked /proc"),
        pytest.param(("late-mount",), ("late-mount",), "C", id="Linux 5.10 with landlock"),
        pytest.param(("pid-namespace",), ("user-namespace",), "C", id="root in a container without privileges"),
        pytest.param(("tmpfs", "notifier-duplicates"), ("tmpfs", "notifier-duplicates"), "C", id="without SYS_PTRACE"),
        pytest.param(("tmpfs", "landlock-signals"), ("tmpfs", "landlock-signals"), "C", id="Linux 6.8, container"),
        pytest.param(
            ("tmpfs", "notifier-handover"), ("tmpfs", "notifier-handover"), "none", id="Linux 5.13, container"
        ),
        pytest.param(("landlock",), ("landlock",), "none", id="root on a kernel without landlock"),
        pytest.param(("seccomp-notification",), ("seccomp-notification",), "none", id="gVisor"),
        pytest.param(NAMES, NAMES, "none", id="macOS"),
    ],
)
def test_the_strongest_tier_whose_layers_are_all_on(own: tuple[str, ...], user: tuple[str, ...], tier: Tier) -> None:
    """By what works, never by who runs it."""
    assert decide(Tries(layers(*own), layers(*user))).tier == tier


@pytest.mark.parametrize("tier", TIERS)
def test_a_weaker_tier_can_be_had_on_a_stronger_host(tier: Tier) -> None:
    """As tests do."""
    assert decide(Tries(layers(), layers()), at_most=tier).tier == tier


def test_a_tier_can_not_be_raised_by_asking() -> None:
    """`at_most` is a bound, not a wish."""
    assert decide(Tries(layers("tmpfs"), layers("tmpfs")), at_most="B").tier == "C"


@pytest.mark.parametrize("tier", ["A", "B", "C"])
def test_each_layer_that_a_tier_needs_is_missed(tier: Tier) -> None:
    """One at a time, so that the error of a host that is too weak names it."""
    for name in NEEDED[tier]:
        found = decide(Tries(layers(name), layers(name)))
        assert TIERS.index(found.tier) != TIERS.index(tier)
        assert [layer.name for layer in found.lacking[tier]] == [name]


def test_every_needed_layer_is_tried() -> None:
    """A name that nothing tries would be off for ever."""
    assert {name for names in NEEDED.values() for name in names} <= set(NAMES)


def test_tier_b_shows_what_a_user_namespace_gives() -> None:
    """And not that the user has no privileges outside of it."""
    found = decide(Tries(layers("mount-namespace"), layers("other-users")))
    assert found.tier == "B"
    assert [layer.name for layer in found.off] == ["other-users"]
    assert found.has("mount-namespace")
    assert not found.has("other-users")


def test_the_api_tells_each_layer_that_is_off_why_and_what_would_help() -> None:
    """In camel case; the summary leaves the layers out."""
    found = decide(Tries(layers("proc"), layers("proc")))
    assert found.summary() == {"tier": "C", "title": found.title}
    told = found.as_dict()
    assert told["layersOff"] == [{"name": "proc", "why": "why", "remedy": "how"}]
    assert {"name": "seccomp", "how": ""} in told["layersOn"]
