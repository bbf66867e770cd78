"""Names: a worker asks by TCP, the supervisor asks the host's resolvers, and a list of hosts holds for both."""

import errno
import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from cloudserve.core.confine.egress import dns, lookups
from cloudserve.core.confine.egress.policy import NO_EGRESS, Rules
from cloudserve.core.confine.egress.resolvers import MOST, WORKER_OPTIONS, Resolvers
from cloudserve.core.confine.egress.supervised import LEAST_TTL, MAX_ANSWERED, MOST_TTL, Answered, Budget
from tests.unit.core.confine.egress.behind import WALLS, Behind, Walls
from tests.unit.core.confine.egress.resolver import Resolver, resolving
from tests.unit.core.confine.egress.servers import serving
from tests.unit.core.confine.egress.test_dns import query

_linux = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is Linux's own")
NAMES = {"db.example": ["127.0.0.1", "::1"], "other.example": ["127.0.0.1"], "evil.example": ["10.0.0.1"]}


def ask(resolver: Resolver, *names: str) -> list[bytes]:
    """Asks for the addresses of names over one connection, all at once, and returns the answers in that order."""
    with socket.create_connection((resolver.host, resolver.port), timeout=20) as sock:
        for number, name in enumerate(names):
            sock.sendall(dns.framed(query([label.encode() for label in name.split(".")], number)))
        received, answers = bytearray(), {}
        while len(answers) < len(names):
            part = sock.recv(4096)
            if not part:
                raise ConnectionResetError
            received += part
            while (message := dns.take_framed(received)) is not None:
                answers[dns.number_of(message)] = message
        return [answers[number] for number in range(len(names))]


def found(message: bytes) -> list[str]:
    """Returns the addresses in an answer."""
    return [str(address) for address, _ in dns.addresses(message)]


@_linux
@pytest.mark.parametrize("walls", WALLS)
def test_names_are_resolved_through_the_supervisor(walls: Walls) -> None:
    """Several at once, over one connection; the host's resolver is asked by UDP."""
    with (
        resolving(Resolver(dict(NAMES))) as resolver,
        Behind(walls, permitted=(), resolvers=resolver.configuration) as behind,
    ):
        answers = behind.run(lambda: ask(resolver, "db.example", "other.example", "none.example"))
    assert [found(answer) for answer in answers] == [["127.0.0.1"], ["127.0.0.1"], []]
    assert [dns.code(answer) for answer in answers] == [0, 0, dns.NO_SUCH_NAME]
    assert sorted(resolver.asked) == [("udp", "db.example"), ("udp", "none.example"), ("udp", "other.example")]


@_linux
def test_without_egress_no_name_is_resolved() -> None:
    """The connection to the resolver is refused, and the log says why."""
    with (
        resolving(Resolver(dict(NAMES))) as resolver,
        Behind(rules=NO_EGRESS, resolvers=resolver.configuration) as behind,
        pytest.raises(PermissionError),
    ):
        behind.run(lambda: ask(resolver, "db.example"))
    assert resolver.asked == []
    assert behind.refusals[0].rule == "the function's egress is `none`"


@_linux
def test_a_list_holds_for_names_and_for_what_they_resolve_to() -> None:
    """A name that is not on it is unknown; one that is leads to its addresses, at its port, and nowhere else."""

    def client() -> list[object]:
        before = _connected(port)
        answers = ask(resolver, "db.example", "other.example")
        return [before, [found(answer) for answer in answers], _connected(port), _connected(other)]

    with resolving(Resolver(dict(NAMES))) as resolver, serving() as port, serving() as other:
        rules = Rules.parse("list", [f"db.example:{port}"])
        with Behind(rules=rules, resolvers=resolver.configuration) as behind:
            assert behind.run(client) == [errno.EACCES, [["127.0.0.1"], []], 0, errno.EACCES]
    assert resolver.asked == [("udp", "db.example")]
    assert (
        "look-up of other.example refused: not on the function's list; allow it with `--egress other.example`"
        in str(behind.refusals[1])
    )


@_linux
def test_a_name_leads_to_no_special_address() -> None:
    """Rebinding a public name to a private address comes to nothing, on a list or without one."""

    def client() -> int:
        ask(resolver, "evil.example")
        return _connected(80, "10.0.0.1")

    with resolving(Resolver(dict(NAMES))) as resolver:
        for rules in (Rules("public"), Rules.parse("list", ["evil.example"])):
            with Behind(rules=rules, permitted=(), resolvers=resolver.configuration) as behind:
                assert behind.run(client) == errno.EACCES
                assert behind.refusals[-1].rule == "private address"


@_linux
def test_a_long_answer_is_asked_for_again_by_tcp() -> None:
    """When the resolver has cut it short."""
    with (
        resolving(Resolver(dict(NAMES), truncates=True)) as resolver,
        Behind(resolvers=resolver.configuration) as behind,
    ):
        assert [found(answer) for answer in behind.run(lambda: ask(resolver, "db.example"))] == [["127.0.0.1"]]
    assert resolver.asked == [("udp", "db.example"), ("tcp", "db.example")]


@_linux
@pytest.mark.parametrize("behaviour", [{"silent": True}, {"code": dns.SERVER_FAILURE}, {"code": dns.REFUSED}])
def test_the_next_resolver_is_asked_where_one_fails(behaviour: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence, a failure and a refusal are no answer as long as there is another one to ask."""
    monkeypatch.setattr(lookups, "TRY_SECONDS", 0.05)
    with (
        resolving(Resolver(dict(NAMES), **behaviour)) as first,  # type: ignore[arg-type]
        resolving(Resolver(dict(NAMES), host="127.0.0.2")) as second,
    ):
        both = Resolvers((*first.configuration.nameservers, *second.configuration.nameservers))
        with Behind(resolvers=both) as behind:
            assert [found(answer) for answer in behind.run(lambda: ask(first, "db.example"))] == [["127.0.0.1"]]


@_linux
def test_when_nobody_answers_that_is_a_server_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every resolver was asked twice."""
    monkeypatch.setattr(lookups, "TRY_SECONDS", 0.05)
    with (
        resolving(Resolver({}, silent=True)) as resolver,
        Behind(resolvers=resolver.configuration) as behind,
    ):
        assert [dns.code(answer) for answer in behind.run(lambda: ask(resolver, "db.example"))] == [dns.SERVER_FAILURE]
    assert len(resolver.asked) == lookups.ROUNDS


@_linux
def test_nobody_else_is_answered() -> None:
    """A connection to the relay that was not made for a worker is closed, and so is one that talks rubbish."""
    with (
        resolving(Resolver(dict(NAMES))) as resolver,
        Behind(resolvers=resolver.configuration) as behind,
    ):
        with socket.create_connection(("127.0.0.1", behind.supervisor._relay._port)) as stranger:
            behind.turn()
            assert stranger.recv(1) == b""

        def rubbish() -> bytes:
            with socket.create_connection((resolver.host, resolver.port)) as sock:
                sock.sendall(b"\0\5rubbish")
                return sock.recv(1)

        assert behind.run(rubbish) == b""


@_linux
def test_a_flood_of_queries_is_answered_bit_by_bit() -> None:
    """Every one in the end; a worker that ends in between leaves nothing behind."""
    names = ["db.example"] * 300
    with (
        resolving(Resolver(dict(NAMES))) as resolver,
        Behind(resolvers=resolver.configuration) as behind,
    ):
        assert len(behind.run(lambda: ask(resolver, *names))) == 300
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are what is wanted
        resolver.silent = True
        read_end, pid = behind.start(lambda: ask(resolver, *names))
        while not behind.supervisor._relay._clients:
            behind.turn()
        os.kill(pid, 9)
        behind.serve_until_read(read_end)
        os.waitpid(pid, 0)
        while behind.supervisor._workers:
            behind.turn()
        assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - names are what is wanted


def _connected(port: int, host: str = "127.0.0.1") -> int:
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        return error.errno or -1
    return 0


def test_a_resolv_conf_is_read_as_c_libraries_do() -> None:
    """Three name servers at most, the last list of search domains, and what can't be read is passed over."""
    read = Resolvers.parse(
        "# made by hand\nnameserver 10.0.0.1\nnameserver nonsense\nnameserver\nnameserver ::1\n"
        "search a.example b.example.\nnameserver fe80::1%eth0\nnameserver 10.0.0.9\noptions ndots:5\n"
    )
    assert [str(address) for address, _ in read.nameservers] == ["10.0.0.1", "::1", "fe80::1%eth0"]
    assert len(read.nameservers) == MOST
    assert read.search == ("a.example", "b.example")
    assert read.may_have_added("api.example.com.b.example")
    assert not read.may_have_added("b.example")
    assert read.are_at(ip_address("::ffff:10.0.0.1"), 53)
    assert not read.are_at(ip_address("10.0.0.1"), 80)
    assert not read.are_at(ip_address("10.0.0.9"), 53)


def test_without_a_resolv_conf_the_resolver_is_this_host(tmp_path: Path) -> None:
    """As resolv.conf(5) has it."""
    expected = Resolvers(((ip_address("127.0.0.1"), 53),))
    assert Resolvers.of_host(tmp_path / "none") == Resolvers.parse("options x\n") == expected
    assert "use-vc" in WORKER_OPTIONS


def test_an_answer_holds_for_its_time() -> None:
    """At least a minute and at most an hour, whatever the resolver says; the oldest go when there are too many."""
    now = 0.0
    answered = Answered(lambda: now)
    address = ip_address("8.8.8.8")
    answered.add(address, 443, 1)
    answered.add(ip_address("::ffff:9.9.9.9"), None, 10**9)
    assert answered.has(address, 443)
    assert not answered.has(address, 80)
    now = LEAST_TTL + 1
    assert not answered.has(address, 443)
    assert answered.has(ip_address("9.9.9.9"), 80)
    now = MOST_TTL + 1
    assert not answered.has(ip_address("9.9.9.9"), 80)
    for number in range(MAX_ANSWERED):
        answered.add(ip_address(number), None, 60)
    answered.add(address, None, 60)
    assert answered.has(address, 1)
    assert not answered.has(ip_address(0), 1)
    assert answered.has(ip_address(1), 1)


def test_a_budget_is_a_share_of_the_time() -> None:
    """Spent beyond what there is, it says how long to wait."""
    now = 0.0
    budget = Budget(rate=0.1, burst=0.5, clock=lambda: now)
    assert budget.spend(0.4) == 0
    assert budget.spend(0.2) == pytest.approx(1)
    now = 1.5
    assert budget.spend(0) == 0
    assert not budget.try_spend(0.1)
    now = 100.0
    assert budget.try_spend(0.5)
    assert not budget.try_spend(0.01)
