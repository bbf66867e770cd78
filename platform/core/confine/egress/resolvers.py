"""The resolvers that the host is configured to ask: resolv.conf(5)."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudserve.core.confine.egress.addresses import Address, canonical

DNS_PORT: Final = 53
MOST: Final = 3
"""MAXNS of resolv.h: a C library asks no more of them."""

WORKER_OPTIONS: Final = "use-vc timeout:10 attempts:1"
"""A worker resolves by TCP, which alone it has, and leaves asking again to the supervisor (`RES_OPTIONS`, too)."""

_FILE: Final = Path("/etc/resolv.conf")
_LOCAL: Final = ipaddress.ip_address("127.0.0.1")


@dataclass(frozen=True, slots=True)
class Resolvers:
    """Whom to ask, in order, and the domains that a C library may add to a name."""

    nameservers: tuple[tuple[Address, int], ...]
    search: tuple[str, ...] = ()

    @classmethod
    def of_host(cls, file: Path = _FILE) -> "Resolvers":
        """Reads the host's file; without one, or with none in it, the resolver is this host's own (resolv.conf(5))."""
        try:
            return cls.parse(file.read_text("utf-8", "replace"))
        except OSError:
            return cls.parse("")

    @classmethod
    def parse(cls, text: str) -> "Resolvers":
        """Reads a resolv.conf. Lines that can't be read are none, as they are to a C library."""
        nameservers: list[tuple[Address, int]] = []
        search: tuple[str, ...] = ()
        for line in text.splitlines():
            words = line.split()
            if len(words) < 2:
                continue
            if words[0] == "nameserver":
                try:
                    nameservers.append((ipaddress.ip_address(words[1]), DNS_PORT))
                except ValueError:
                    continue
            elif words[0] in ("search", "domain"):
                search = tuple(word.lower().strip(".") for word in words[1:])
        return cls(tuple(nameservers[:MOST]) or ((_LOCAL, DNS_PORT),), search)

    def are_at(self, address: Address, port: int) -> bool:
        """Tells whether a connection is meant for a resolver, so that the supervisor answers instead."""
        return (canonical(address), port) in self.nameservers

    def may_have_added(self, name: str) -> bool:
        """Tells whether a name ends in a domain of the search list, so that it may be nobody's wish."""
        return any(name.endswith("." + domain) for domain in self.search if domain)
