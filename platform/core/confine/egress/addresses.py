"""What an address is: public, or of a kind that a function has no business with.

The kinds are the IANA special-purpose registries (RFC 6890 and the RFCs named below) and the addresses at which clouds
tell a machine its own credentials. An IPv6 address that stands for, or is translated to, an IPv4 address is judged by
that too, whatever the form.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V4_KINDS: Final = (
    ("169.254.169.254/32", "metadata address"),  # AWS, Azure, Google Cloud, DigitalOcean and others
    ("169.254.170.2/32", "metadata address"),  # AWS: credentials of containers
    ("168.63.129.16/32", "metadata address"),  # Azure's host
    ("100.100.100.200/32", "metadata address"),  # Alibaba Cloud
    ("192.0.0.192/32", "metadata address"),  # Oracle Cloud
    ("0.0.0.0/8", "unspecified address"),  # RFC 1122; Linux takes 0.0.0.0 for loopback
    ("10.0.0.0/8", "private address"),  # RFC 1918
    ("100.64.0.0/10", "shared address"),  # RFC 6598: behind a provider's NAT
    ("127.0.0.0/8", "loopback address"),  # RFC 1122
    ("169.254.0.0/16", "link-local address"),  # RFC 3927
    ("172.16.0.0/12", "private address"),  # RFC 1918
    ("192.0.0.0/24", "reserved address"),  # RFC 6890
    ("192.0.2.0/24", "documentation address"),  # RFC 5737
    ("192.88.99.0/24", "reserved address"),  # RFC 7526
    ("192.168.0.0/16", "private address"),  # RFC 1918
    ("198.18.0.0/15", "benchmark address"),  # RFC 2544
    ("198.51.100.0/24", "documentation address"),  # RFC 5737
    ("203.0.113.0/24", "documentation address"),  # RFC 5737
    ("224.0.0.0/4", "multicast address"),  # RFC 5771
    ("255.255.255.255/32", "broadcast address"),  # RFC 919
    ("240.0.0.0/4", "reserved address"),  # RFC 1112
)
_V6_KINDS: Final = (
    ("fd00:ec2::254/128", "metadata address"),  # AWS
    ("fd20:ce::254/128", "metadata address"),  # Google Cloud
    ("::/128", "unspecified address"),
    ("::1/128", "loopback address"),
    ("::/96", ""),  # RFC 4291: compatible with IPv4, judged by what it holds
    ("::ffff:0:0/96", ""),  # RFC 4291: IPv4, mapped
    ("::ffff:0:0:0/96", ""),  # RFC 2765: IPv4, translated
    ("64:ff9b::/96", ""),  # RFC 6052: IPv4 behind NAT64
    ("64:ff9b:1::/48", "private address"),  # RFC 8215: IPv4 behind a local NAT64
    ("2001::/32", ""),  # RFC 4380: Teredo
    ("2001::/23", "reserved address"),  # RFC 2928
    ("2001:db8::/32", "documentation address"),  # RFC 3849
    ("3fff::/20", "documentation address"),  # RFC 9637
    ("2000::/3", ""),  # RFC 4291: global unicast
    ("fc00::/7", "private address"),  # RFC 4193
    ("fe80::/10", "link-local address"),  # RFC 4291
    ("fec0::/10", "private address"),  # RFC 3879
    ("ff00::/8", "multicast address"),  # RFC 4291
)
KINDS: Final = (*_V4_KINDS, *_V6_KINDS)
"""Networks and their kinds; the empty kind is that of what they hold, or public."""

_OTHER_V6: Final = "reserved address"

_Kinds = tuple[tuple[int, int, str], ...]
_NETWORKS_V4: Final[_Kinds] = tuple(
    (int(network[0]), int(network[-1]), kind)
    for network, kind in ((IPv4Network(text), kind) for text, kind in _V4_KINDS)
)
_NETWORKS_V6: Final[_Kinds] = tuple(
    (int(network[0]), int(network[-1]), kind)
    for network, kind in ((IPv6Network(text), kind) for text, kind in _V6_KINDS)
)

_WORD: Final = 0xFFFFFFFF
_HOLDS_IN_LOW_BITS: Final = tuple(
    (int(network[0]), int(network[-1]))
    for network in map(IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
)
_MAPPED: Final = 0xFFFF
_TEREDO: Final = 0x20010000
_SIX_TO_FOUR: Final = 0x2002
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


def canonical(address: Address) -> Address:
    """Returns the IPv4 address that a mapped one is (RFC 4291, section 2.5.5.2), and any other as it is."""
    if isinstance(address, IPv6Address) and int(address) >> 32 == _MAPPED:
        return IPv4Address(int(address) & _WORD)
    return address


def special(address: Address) -> str | None:
    """Returns the kind of an address that is not public, such as "private address", and None for a public one."""
    value = int(address)
    if isinstance(address, IPv4Address):
        return next((kind for first, last, kind in _NETWORKS_V4 if first <= value <= last), None)
    kind = next((kind for first, last, kind in _NETWORKS_V6 if first <= value <= last), _OTHER_V6)
    return kind or next(filter(None, map(special, embedded(address))), None)


def embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yields each IPv4 address that an IPv6 address stands for or may be carried to."""
    value = int(address)
    if any(first <= value <= last for first, last in _HOLDS_IN_LOW_BITS):
        yield IPv4Address(value & _WORD)
    if value >> 96 == _TEREDO:  # RFC 4380, section 4: the server's, and the client's with its bits turned
        yield IPv4Address(value >> 64 & _WORD)
        yield IPv4Address(~value & _WORD)
    if value >> 112 == _SIX_TO_FOUR:  # RFC 3056
        yield IPv4Address(value >> 80 & _WORD)
    if value >> 32 & _WORD in _ISATAP:  # RFC 5214, section 6.1
        yield IPv4Address(value & _WORD)
