"""What a root of its own shows, and what it must never show."""

import sys
from pathlib import Path

import pytest

from cloudserve.core.confine.egress.resolvers import Resolvers
from cloudserve.core.confine.root import Bind, Root, resolver_configuration, system_root

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a root of its own is a matter of Linux")


def test_the_systems_programs_and_the_interpreter_are_shown() -> None:
    """/usr and this interpreter are there, each once."""
    places = [bind.place for bind in system_root().binds]
    assert "/usr" in places
    assert any(Path(sys.prefix).is_relative_to(place) for place in places)
    assert len(places) == len(set(places))


def test_links_stay_links() -> None:
    """Where /bin is a link to usr/bin, it is one in the root too."""
    links = system_root().links
    for name in ("bin", "lib", "lib64", "sbin"):
        path = Path("/", name)
        if path.is_symlink():
            assert links[f"/{name}"] == str(path.readlink())


def test_nothing_private_is_shown() -> None:
    """No bind shows homes, keys, sockets, kernel interfaces or the host's users."""
    shown = [Path(bind.source) for bind in system_root().binds]
    keys, users = ("/etc/ssl", "/etc/ssl/private"), ("/etc", "/etc/passwd", "/etc/shadow", "/home", "/root")
    for private in (*keys, *users, "/", "/dev", "/proc", "/run", "/sys", "/var"):
        assert not [path for path in shown if Path(private).is_relative_to(path)], private


def test_nothing_is_shown_writable() -> None:
    """All binds of the system are read-only."""
    assert not [bind for bind in system_root().binds if bind.writable]


def test_what_is_shown_already_is_not_bound_again() -> None:
    """A path below one that is bound at its own place adds nothing; at another place, or writable, it does."""
    root = Root((Bind("/usr"),))
    assert root.plus(binds=[Bind("/usr/lib"), Bind("/usr")]).binds == root.binds
    for bind in (Bind("/usr/lib", "/elsewhere"), Bind("/usr/local", writable=True), Bind("/opt")):
        assert root.plus(binds=[bind]).binds == (*root.binds, bind)


def test_what_is_added_twice_at_once_is_bound_once() -> None:
    """Also where both come in one call."""
    assert Root().plus(binds=[Bind("/opt"), Bind("/opt/python")]).binds == (Bind("/opt"),)


def test_name_servers_are_asked_over_tcp() -> None:
    """The host's name servers are kept, its other options are not."""
    host = "search corp.example\nnameserver 192.0.2.1\noptions ndots:5\nnameserver 2001:db8::1\n"
    *servers, options = resolver_configuration(Resolvers.parse(host)).splitlines()
    assert servers == ["nameserver 192.0.2.1", "nameserver 2001:db8::1"]
    assert options.startswith("options use-vc")
