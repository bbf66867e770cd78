"""A platform with seeded functions, as it is measured."""

import time

import psutil
import pytest

from cloudserve.cli.bench import functions
from cloudserve.cli.bench.calls import caller
from cloudserve.cli.bench.processes import tree
from cloudserve.cli.bench.subject import PLATFORM, UNWALLED, platform
from cloudserve.cli.output import CommandError

pytestmark = pytest.mark.full


@pytest.mark.parametrize("program", [PLATFORM, UNWALLED])
def test_seeded_functions_answer_their_owners_and_every_call_is_recorded(program: str) -> None:
    """With the walls of this host and without, and nothing of it stays."""
    seeds = [functions.python("one"), functions.node("two"), functions.spinning("three", "somebody")]
    with platform(seeds, program=program) as subject:
        targets = [subject.target("one"), subject.target("two"), subject.target("three", owner="somebody")]
        with caller(targets[0]) as connection:
            for target in targets:
                connection.call(target)
        while subject.recorded() < len(targets):
            time.sleep(0.05)
        folder, processes = subject.data_dir, tree(subject.pid)
    assert not folder.exists()
    while any(_runs(pid) for pid in processes):
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Tells whether a process goes on; one that has ended and only waits to be noticed does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_function_of_the_node_kind_is_a_bundle_of_five_kilobytes() -> None:
    """As the figure for it says."""
    assert 5_120 <= len(functions.node("one").source) < 5_300


def test_a_platform_that_does_not_start_says_why() -> None:
    """With the end of its log."""
    with pytest.raises(CommandError, match="did not start"), platform([functions.python("one")], max_workers=-1):
        pass
