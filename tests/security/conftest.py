"""Where attacks are made: the internet, the engine, and a platform at each tier. All of it needs root and Linux.

What can't be made here is said and skipped; in CI (`CI=true`) nothing is skipped, there it fails.
"""

import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudserve.core.confine.tiers import Tier
from tests.security import engine, internet
from tests.security.engine import Engine
from tests.security.hosts import ORDINARY, RUNTIMES, Host, Place, as_ordinary_user, as_root, in_container
from tests.security.internet import Internet

HOSTS: dict[str, Tier] = {"root": "A", "user": "B", "container": "C", "container-root": "C", "unwalled": "none"}
"""Where platforms run, and the tier that is to be found there.

Without walls the attacks must succeed, or they would prove nothing elsewhere.
"""

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this brings up real platforms."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.full)


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    """The files that the hosts share; not below pytest's folder, which is closed to other users."""
    if sys.platform != "linux" or os.geteuid() != 0:
        _cannot("the attack suite needs Linux and root, to make a platform of every tier")
    folder = Path(tempfile.mkdtemp(prefix="cloudserve-security-"))
    yield Place(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def net(place: Place) -> Iterator[Internet]:
    """The internet that the hosts are connected to."""
    del place
    with internet.running() as made:
        yield made


@pytest.fixture(scope="session")
def docker(place: Place) -> Iterator[Engine]:
    """An engine for the hosts in containers."""
    reason = engine.missing()
    if reason is not None:
        _cannot(f"tier C can't be tested: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="cloudserve-docker-"))
    with engine.running(folder) as made:
        yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", params=list(HOSTS))
def host(request: pytest.FixtureRequest, place: Place, net: Internet) -> Iterator[Host]:
    """A platform at each tier."""
    tier = HOSTS[request.param]
    name = f"{request.param}-{next(_numbers)}"
    if tier == "C":
        made = request.getfixturevalue("docker")
        host = in_container(place, name, tier, made, 0 if request.param == "container-root" else ORDINARY)
        pid = _pid_of(host, made)
    else:
        host = as_ordinary_user(place, name, tier) if tier == "B" else as_root(place, name, tier)
        host("greet")
        pid = host.process.pid
    address = net.wire(pid)
    host.start("none" if tier == "none" else "A")
    host.facts["own_address"] = address
    yield host
    host.close()
    Path("/tmp/left-behind").unlink(missing_ok=True)  # what an attacker left where nothing kept it from doing so


@pytest.fixture(scope="session")
def older(place: Place, net: Internet, docker: Engine) -> Iterator[Host]:
    """A platform in a container, as on a kernel before Linux 6.12: landlock judges no signals."""
    host = in_container(place, f"older-{next(_numbers)}", "C", docker, ORDINARY)
    address = net.wire(_pid_of(host, docker))
    host.start("A", without=["landlock-signals"])
    host.facts["own_address"] = address
    yield host
    host.close()


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    """Each language in turn."""
    name: str = request.param
    return name


def _pid_of(host: Host, engine: Engine) -> int:
    """Returns the first process of a container that runs, so that its network is made."""
    host("greet")
    return int(engine.run("inspect", "-f", "{{.State.Pid}}", host.facts["container"]))


def _cannot(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
