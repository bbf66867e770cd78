"""Which host a call goes to, with hosts that are nothing but figures."""

from dataclasses import dataclass

from cloudserve.sandbox.remote.choice import Choice


@dataclass(eq=False)
class Host:
    """A host."""

    name: str
    usable: bool = True
    silent: bool = False
    capacity: int = 2
    load: int = 0
    exclusive: bool = False
    free: bool = False
    holder: str | None = None


def choice(*hosts: Host) -> Choice[Host]:
    """Returns the choice among hosts."""
    made: Choice[Host] = Choice()
    made.replace(hosts)
    return made


def test_a_function_has_the_same_host_in_every_gateway() -> None:
    """Whatever order its gateway knows the hosts in."""
    hosts = [Host(f"10.0.0.{number}:7710") for number in range(5)]
    one, other = choice(*hosts), choice(*reversed(hosts))
    for number in range(50):
        assert one.choose(f"fun_{number}", "ann") is other.choose(f"fun_{number}", "ann")


def test_a_host_that_can_not_be_used_is_passed_over() -> None:
    """And has its functions back when it can."""
    chosen = choice(Host("a"), Host("b"), Host("c"))
    home = chosen.choose("fun", "ann")
    assert home is not None
    home.usable = False
    assert chosen.choose("fun", "ann") not in (home, None)
    home.usable = True
    assert chosen.choose("fun", "ann") is home


def test_a_silent_host_is_the_last_resort() -> None:
    """It may be busy and come back: no call goes there while another host answers."""
    chosen = choice(Host("a"), Host("b"))
    home = chosen.choose("fun", "ann")
    assert home is not None
    home.silent = True
    other = chosen.choose("fun", "ann")
    assert other not in (home, None)
    assert other is not None
    other.usable = False
    assert chosen.choose("fun", "ann") is home


def test_without_a_usable_host_there_is_no_choice() -> None:
    """None tells so."""
    assert choice().choose("fun", "ann") is None
    assert choice(Host("a", usable=False)).choose("fun", "ann") is None


def test_a_larger_host_has_a_larger_share() -> None:
    """The bound is by capacity."""
    small, large = Host("small", capacity=1, load=10), Host("large", capacity=9, load=60)
    assert all(choice(small, large).choose(f"fun_{number}", "ann") is large for number in range(20))


def test_an_owner_is_served_where_it_has_the_place() -> None:
    """Hosts that serve one owner at a time keep to it while they can."""
    own, free, others = (
        Host("a", exclusive=True, holder="ann"),
        Host("b", exclusive=True, free=True),
        Host("c", exclusive=True, holder="bob"),
    )
    chosen = choice(own, free, others)
    for number in range(20):
        assert chosen.choose(f"fun_{number}", "ann") is own
        assert chosen.choose(f"fun_{number}", "eve") is free
        assert chosen.choose(f"fun_{number}", "bob") is others


def test_an_owner_that_fills_its_host_gets_one_that_nobody_has() -> None:
    """But not another's."""
    own, free, others = (
        Host("a", exclusive=True, holder="ann", load=9),
        Host("b", exclusive=True, free=True),
        Host("c", exclusive=True, holder="bob"),
    )
    assert choice(own, free, others).choose("fun", "ann") is free
    assert choice(own, others).choose("fun", "ann") is own


def test_an_owner_without_a_place_waits_where_the_fewest_are_served() -> None:
    """When all hosts are taken by others."""
    busy, idle = Host("a", exclusive=True, holder="ann", load=3), Host("b", exclusive=True, holder="bob", load=1)
    assert choice(busy, idle).choose("fun", "eve") is idle


def test_a_call_that_was_not_taken_goes_to_another_host() -> None:
    """`besides` names the one that it comes from."""
    a, b = Host("a"), Host("b")
    assert choice(a, b).choose("fun", "ann", besides=a) is b
    assert choice(a).choose("fun", "ann", besides=a) is None
