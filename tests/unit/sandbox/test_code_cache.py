"""Which code caches are kept, and whom the host asks for one."""

from types import SimpleNamespace
from typing import Any

from cloudserve.sandbox.code_cache import CodeCaches


def a_version(version_id: str = "ver_1", function_id: str = "fun_1") -> Any:
    """Returns a deployment."""
    return SimpleNamespace(version_id=version_id, function_id=function_id)


class AWorker:
    """An idle worker that has compiled its bundle and served a call."""

    def __init__(self, *, begun: int = 1, peak_kib: int = 0) -> None:
        self.compiled = True
        self.stopping = False
        self.asked = 0
        self.calls: Any = SimpleNamespace(
            begun=begun, peak_kib=peak_kib, memory_mb=128, on_code=None, ask_for_code=self._ask
        )

    def _ask(self) -> None:
        self.asked += 1


def a_group(deployment: Any, *workers: AWorker) -> Any:
    """Returns the group of a version."""
    return SimpleNamespace(deployment=deployment, idle=list(workers), retired=False)


def test_the_first_cache_of_a_version_stays() -> None:
    """Another is taken once it was dropped; nobody else's version gets it."""
    caches, version = CodeCaches(), a_version()
    caches.keep(version, b"first")
    caches.keep(version, b"second")
    assert caches.of(version) == b"first"
    assert caches.of(a_version("ver_2")) is None
    caches.drop("ver_1")
    caches.keep(version, b"second")
    assert caches.of(version) == b"second"


def test_caches_are_bounded_each_and_together() -> None:
    """One that is too large or empty is not kept; of all the one that was used the longest time ago goes."""
    caches = CodeCaches(max_cache_bytes=4, max_bytes=8)
    one, two, three = (a_version(f"ver_{number}") for number in (1, 2, 3))
    caches.keep(one, b"12345")
    caches.keep(one, b"")
    assert caches.of(one) is None
    caches.keep(one, b"1234")
    caches.keep(two, b"1234")
    caches.of(one)
    caches.keep(three, b"1")
    assert [caches.of(version) for version in (one, two, three)] == [b"1234", None, b"1"]


def test_a_retired_version_leaves_no_cache() -> None:
    """Those of the function's current version and of other functions stay."""
    caches = CodeCaches()
    old, new, other = a_version("ver_1"), a_version("ver_2"), a_version("ver_3", "fun_2")
    for version in (old, new, other):
        caches.keep(version, b"x")
    caches.retire("fun_1", "ver_2")
    assert [caches.of(version) for version in (old, new, other)] == [None, b"x", b"x"]
    caches.drop("ver_2")
    caches.drop("ver_2")


def test_one_worker_is_asked_at_a_time_and_each_once() -> None:
    """The next is asked once the former has answered."""
    caches = CodeCaches()
    first, second = AWorker(), AWorker()
    groups = [a_group(a_version("ver_1"), first), a_group(a_version("ver_2"), second)]
    caches.ask(groups)
    caches.ask(groups)
    assert (first.asked, second.asked) == (1, 0)
    for piece in (b"a", b"b", b""):
        first.calls.on_code(piece)
    first.calls.on_code(b"more")
    caches.ask(groups)
    assert (first.asked, second.asked) == (1, 1)
    assert caches.of(groups[0].deployment) == b"ab"


def test_what_is_too_large_or_unfinished_is_not_kept() -> None:
    """Neither keeps another worker from being asked, once the one that is silent has ended."""
    caches = CodeCaches(max_cache_bytes=4)
    large, silent, last = AWorker(), AWorker(), AWorker()
    version = a_version()
    caches.ask([a_group(version, large, silent, last)])
    for piece in (b"123", b"45", b""):
        large.calls.on_code(piece)
    caches.ask([a_group(version, large, silent, last)])
    silent.calls.on_code(b"1")
    silent.stopping = True
    caches.ask([a_group(version, last)])
    silent.calls.on_code(b"")
    assert (large.asked, silent.asked, last.asked) == (1, 1, 1)
    assert caches.of(version) is None


def test_only_who_served_a_call_and_has_room_is_asked() -> None:
    """A cache holds what the first call compiled, and making it takes memory."""
    caches = CodeCaches()
    new, full, retired = AWorker(begun=0), AWorker(peak_kib=100 * 1024), AWorker()
    leaving = a_group(a_version("ver_2"), retired)
    leaving.retired = True
    caches.ask([a_group(a_version(), new, full), leaving])
    assert (new.asked, full.asked, retired.asked) == (0, 0, 0)
    still = AWorker()
    group = a_group(a_version(), still)
    caches.ask([group])
    group.retired = True
    still.calls.on_code(b"late")
    still.calls.on_code(b"")
    assert caches.of(group.deployment) is None
