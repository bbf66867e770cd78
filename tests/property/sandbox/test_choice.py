"""What holds of the choice of a host for any hosts, loads and functions."""

from collections import Counter
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from cloudserve.sandbox.remote.choice import BALANCE
from tests.unit.sandbox.remote.test_choice import Host, choice

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=12, unique=True)


@given(NAMES, st.lists(st.text(max_size=8), max_size=50, unique=True))
def test_a_host_that_leaves_moves_its_own_functions_alone(names: list[str], functions: list[str]) -> None:
    """And one that joins takes functions from the others, but moves none between them."""
    hosts = [Host(name) for name in names]
    all_of_them, without_last = choice(*hosts), choice(*hosts[:-1])
    for function in functions:
        before, after = all_of_them.choose(function, "ann"), without_last.choose(function, "ann")
        assert after is before or before is hosts[-1]


@given(
    NAMES, st.lists(st.tuples(st.integers(0, 200), st.integers(1, 64)), min_size=12, max_size=12), st.text(max_size=8)
)
def test_no_host_gets_more_than_its_bound(names: list[str], figures: list[tuple[int, int]], function: str) -> None:
    """Whoever is chosen has less than 1.25 times its share of all calls, or a processor for one more."""
    hosts = [Host(name, load=load, capacity=capacity) for name, (load, capacity) in zip(names, figures, strict=False)]
    chosen = choice(*hosts).choose(function, "ann")
    assert chosen is not None
    share = (sum(host.load for host in hosts) + 1) * chosen.capacity / sum(host.capacity for host in hosts)
    assert chosen.load < max(chosen.capacity, ceil(BALANCE * share))


@given(NAMES, st.integers(1, 400))
def test_calls_of_a_single_function_spread_as_they_become_many(names: list[str], calls: int) -> None:
    """However hot a function is, no host has more than its bound of it."""
    hosts = [Host(name, capacity=1) for name in names]
    chosen = choice(*hosts)
    counted: Counter[str] = Counter()
    for _ in range(calls):
        host = chosen.choose("hot", "ann")
        assert host is not None
        host.load += 1
        counted[host.name] += 1
    assert max(counted.values()) <= max(1, ceil(BALANCE * calls / len(names)))
