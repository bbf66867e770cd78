"""The table of attacks promises what the walls are for."""

from cloudserve.core.confine.attacks import ATTACKS, OUTCOMES


def test_nothing_reaches_another_owner_where_owners_share_a_host() -> None:
    """At tiers A and B every attack is blocked or hurts its own worker alone."""
    assert {outcome for attack in ATTACKS for outcome in (attack.a, attack.b)} <= set(OUTCOMES[:2])


def test_a_weaker_tier_never_promises_more() -> None:
    """From A to C an outcome stays or becomes worse."""
    for attack in ATTACKS:
        ranks = [OUTCOMES.index(outcome) for outcome in (attack.a, attack.b, attack.c)]
        assert ranks == sorted(ranks), attack.name


def test_every_attack_has_a_name_of_its_own() -> None:
    """Tests and docs refer to a row by it."""
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
