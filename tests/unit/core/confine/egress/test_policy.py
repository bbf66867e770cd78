"""The policy: which addresses are whose, what a list means, and what a refusal says."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.confine.egress.addresses import canonical, embedded, special
from cloudserve.core.confine.egress.policy import (
    NO_EGRESS,
    Rules,
    Target,
    decide,
    endpoint,
    parse_permitted,
    parse_target,
)

PUBLIC = Rules("public")

_v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
_v6 = st.integers(0, 2**128 - 1).map(IPv6Address)
_port = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback address"),
        ("127.255.0.9", "loopback address"),
        ("0.0.0.0", "unspecified address"),
        ("0.1.2.3", "unspecified address"),
        ("10.1.2.3", "private address"),
        ("172.16.0.1", "private address"),
        ("172.31.255.255", "private address"),
        ("192.168.1.1", "private address"),
        ("100.64.0.1", "shared address"),
        ("169.254.1.1", "link-local address"),
        ("169.254.169.254", "metadata address"),
        ("168.63.129.16", "metadata address"),
        ("198.19.0.1", "benchmark address"),
        ("224.0.0.251", "multicast address"),
        ("239.255.255.250", "multicast address"),
        ("255.255.255.255", "broadcast address"),
        ("250.0.0.1", "reserved address"),
        ("203.0.113.7", "documentation address"),
        ("::1", "loopback address"),
        ("::", "unspecified address"),
        ("fe80::1", "link-local address"),
        ("fc00::1", "private address"),
        ("fdff::1", "private address"),
        ("fec0::1", "private address"),
        ("fd00:ec2::254", "metadata address"),
        ("ff02::1", "multicast address"),
        ("2001:db8::7", "documentation address"),
        ("64:ff9b:1::a00:1", "private address"),
        ("4000::1", "reserved address"),
        ("::ffff:127.0.0.1", "loopback address"),
        ("::127.0.0.1", "loopback address"),
        ("::ffff:0:10.0.0.1", "private address"),
        ("64:ff9b::169.254.169.254", "metadata address"),
        ("2002:7f00:1::", "loopback address"),
        ("2002:a9fe:a9fe::1", "metadata address"),
        ("2001:0:7f00:1::", "loopback address"),
        ("2001:0:808:808::80ff:fffe", "loopback address"),
        ("2600::5efe:10.0.0.1", "private address"),
        ("2600::200:5efe:192.168.0.1", "private address"),
        ("8.8.8.8", None),
        ("172.32.0.1", None),
        ("100.128.0.1", None),
        ("192.0.1.1", None),
        ("2600::1", None),
        ("2a00:1450::5", None),
        ("64:ff9b::8.8.8.8", None),
        ("::ffff:8.8.8.8", None),
        ("2002:808:808::1", None),
        ("2600::5efe:8.8.8.8", None),
    ],
)
def test_every_address_is_of_a_kind(address: str, kind: str | None) -> None:
    """Public, or special with a name; an IPv6 form of an IPv4 address is of that address's kind."""
    assert special(ip_address(address)) == kind


@given(_v4)
def test_no_form_of_a_special_address_is_public(address: IPv4Address) -> None:
    """Mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP."""
    value = int(address)
    forms = [
        0xFFFF << 32 | value,
        0xFFFF << 48 | value,
        value,
        0x64FF9B << 96 | value,
        0x2002 << 112 | value << 80,
        0x20010000 << 96 | value << 64 | (~0x08080808 & 0xFFFFFFFF),
        0x20010000 << 96 | 0x08080808 << 64 | (~value & 0xFFFFFFFF),
        0x2600 << 112 | 0x5EFE << 32 | value,
        0x2600 << 112 | 0x02005EFE << 32 | value,
    ]
    for form in map(IPv6Address, forms):
        assert address in embedded(form)
        if special(address) is not None:
            assert special(form) is not None


@given(_v4 | _v6)
def test_what_is_public_is_public_to_the_standard_library_too(address: IPv4Address | IPv6Address) -> None:
    """A second opinion, by Python's own tables."""
    if special(address) is None and canonical(address) == address:
        assert address.is_global or address in ipaddress.ip_network(
            "2002::/16" if address.version == 6 else "0.0.0.0/32"
        )


@given(_v4 | _v6, _port, st.booleans())
def test_public_egress_reaches_public_addresses_alone(
    address: IPv4Address | IPv6Address, port: int, is_own: bool
) -> None:
    """And none that the host itself has."""
    decision = decide(PUBLIC, (), address, port, is_own=is_own)
    assert decision.allowed == (special(address) is None and not is_own)
    assert decision.allowed or (decision.rule and decision.remedy)


@given(_v4 | _v6, _port)
def test_no_egress_is_none(address: IPv4Address | IPv6Address, port: int) -> None:
    """Whatever the platform permits."""
    assert not decide(NO_EGRESS, (parse_target("0.0.0.0/0"), parse_target("::/0")), address, port).allowed


@given(_v4 | _v6, _port)
def test_a_target_says_what_endpoint_writes(address: IPv4Address | IPv6Address, port: int) -> None:
    """So the remedy of a refusal can be copied."""
    target = parse_target(endpoint(address, port))
    assert target.covers(canonical(address), port)
    assert not target.covers(canonical(address), port % 65535 + 1)


@given(_v4 | _v6, _port)
def test_the_remedy_of_a_special_address_works(address: IPv4Address | IPv6Address, port: int) -> None:
    """What is permitted as it is written there is allowed from then on, that port alone."""
    refused = decide(PUBLIC, (), address, port)
    if not refused.allowed:
        permitted = parse_permitted([refused.remedy.rpartition(" ")[2]])
        assert decide(PUBLIC, permitted, address, port, is_own=True).allowed
        assert not decide(PUBLIC, permitted, address, port % 65535 + 1).allowed


def test_a_list_allows_what_is_on_it() -> None:
    """Addresses, networks and ports; names by what they resolved to."""
    rules = Rules.parse("list", ["8.8.8.8:443", "9.9.0.0/16", "[2600::]/32:5432", "2a00::1", "db.example.com:5432"])
    for address, port, allowed in (
        ("8.8.8.8", 443, True),
        ("8.8.8.8", 80, False),
        ("::ffff:8.8.8.8", 443, True),
        ("9.9.9.9", 1, True),
        ("9.10.0.0", 1, False),
        ("2600::9", 5432, True),
        ("2600::9", 5433, False),
        ("2a00::1", 9, True),
        ("2a00::2", 9, False),
    ):
        assert decide(rules, (), ip_address(address), port).allowed is allowed, address
    assert decide(rules, (), ip_address("1.1.1.1"), 5432, is_answered=True).allowed


def test_a_list_opens_no_special_address() -> None:
    """Neither by address nor by a name that resolves to one. The platform's permission does, and the list holds."""
    rules = Rules.parse("list", ["10.0.0.5", "localhost"])
    ten = ip_address("10.0.0.5")
    refused = decide(rules, (), ten, 5432)
    assert refused.rule == "private address"
    assert refused.remedy == "`egress_allow` (cloudserve:egressAllow) in the platform's settings: 10.0.0.5:5432"
    assert not decide(rules, (), ip_address("127.0.0.1"), 80, is_answered=True).allowed
    permitted = parse_permitted(["10.0.0.0/24"])
    assert decide(rules, permitted, ten, 5432).allowed
    assert decide(rules, permitted, ip_address("10.0.0.6"), 5432).rule == "not on the function's list"


def test_names_are_matched_whole() -> None:
    """In any case, with a dot at the end or none; a star stands for everything beneath a domain."""
    rules = Rules.parse("list", ["API.example.com:443", "*.pool.example.org", "srv.example.net"])
    for name, answered in (
        ("api.example.com", True),
        ("Api.Example.Com.", True),
        ("evilapi.example.com", False),
        ("x.api.example.com", False),
        ("example.com", False),
        ("a.pool.example.org", True),
        ("a.b.pool.example.org", True),
        ("pool.example.org", False),
        ("evilpool.example.org", False),
        ("_mongodb._tcp.srv.example.net", True),
        ("_x.example.net", False),
        ("", False),
        ("_", False),
    ):
        assert rules.answers(name) is answered, name
    assert rules.ports("API.example.com.") == [443]
    assert rules.ports("a.pool.example.org") == [None]
    assert PUBLIC.answers("anything.example")
    assert not NO_EGRESS.answers("anything.example")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("example.com", Target("example.com", None, None)),
        ("Example.COM.:80", Target("example.com", None, 80)),
        ("db_1.internal:5432", Target("db_1.internal", None, 5432)),
        ("*.example.com", Target("*.example.com", None, None)),
        ("localhost", Target("localhost", None, None)),
        ("10.0.0.1", Target(None, ipaddress.ip_network("10.0.0.1"), None)),
        ("10.0.0.0/8:5432", Target(None, ipaddress.ip_network("10.0.0.0/8"), 5432)),
        ("10.9.9.9/8", Target(None, ipaddress.ip_network("10.0.0.0/8"), None)),
        ("::1", Target(None, ipaddress.ip_network("::1"), None)),
        ("fd00::/8", Target(None, ipaddress.ip_network("fd00::/8"), None)),
        ("[::1]:6379", Target(None, ipaddress.ip_network("::1"), 6379)),
        ("[fd00::/8]:6379", Target(None, ipaddress.ip_network("fd00::/8"), 6379)),
        ("[fd00::]/8:6379", Target(None, ipaddress.ip_network("fd00::/8"), 6379)),
        ("[::1]", Target(None, ipaddress.ip_network("::1"), None)),
        ("[::ffff:10.0.0.1]:1", Target(None, ipaddress.ip_network("10.0.0.1"), 1)),
    ],
)
def test_a_target_is_read(text: str, target: Target) -> None:
    """Hosts, addresses and networks, with a port or without."""
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    ["", ":80", "a:0", "a:65536", "a:", "a:x", "http://a.example", "a.example/path", "10.0.0.300", "127.1", "*.", "*",
     "a..b", "[::1", "[::1]x", "[::1]:", "1.2.3.4/33", "a b", "*.*.com", "-a", "a:80:80", "a\u0661", "[a.example]/8:1",
     "x" * 300],
)  # fmt: skip
def test_what_is_no_target_is_refused_by_name(text: str) -> None:
    """The message quotes it and shows how to write one."""
    with pytest.raises(ValueError, match="is no host, address or network") as refused:
        parse_target(text)
    assert text[:80] in str(refused.value)


@given(st.text(max_size=60))
def test_a_target_is_read_or_refused(text: str) -> None:
    """Nothing else comes of any text."""
    try:
        target = parse_target(text)
    except ValueError:
        return
    assert (target.name is None) != (target.network is None)


def test_the_platform_permits_networks_and_no_names() -> None:
    """A name may resolve to anything, at any time."""
    with pytest.raises(ValueError, match=r"`db.example` is a name; write its address"):
        parse_permitted(["10.0.0.0/8", "db.example:80"])
