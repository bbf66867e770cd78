"""Decides about connections; pure, so that every decision can be tried without a network.

In order: mode `none` refuses everything; addresses that are not public, and the host's own, are refused unless the
platform's operator permits them; then the function's list decides, if it has one: hosts, addresses and networks.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from cloudserve.core.confine.egress.addresses import Address, Network, canonical, special

Mode = Literal["none", "public", "list"]

_NAME: Final = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_MAX_NAME: Final = 253
_MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Target:
    """An entry of a list: a name or a network, and the one port meant, or all."""

    name: str | None
    network: Network | None
    port: int | None

    def covers(self, address: Address, port: int) -> bool:
        """Tells whether an address and port are in its network."""
        return self.network is not None and self.port in (None, port) and address in self.network

    def names(self, name: str) -> bool:
        """Tells whether it means a host name, in lower case: `*.example.com` means all names beneath it."""
        if self.name is None:
            return False
        return name.endswith(self.name[1:]) if self.name.startswith("*.") else name == self.name


@dataclass(frozen=True, slots=True)
class Rules:
    """A function's egress. `targets` matters in mode `list` alone."""

    mode: Mode
    targets: tuple[Target, ...] = ()

    @classmethod
    def parse(cls, mode: Mode, allow: Iterable[str]) -> "Rules":
        """Raises ValueError, which names the entry that can't be read."""
        return cls(mode, tuple(map(parse_target, allow)))

    def answers(self, name: str) -> bool:
        """Tells whether a host name may be resolved. `_service._tcp.host` belongs to its host (RFC 2782)."""
        if self.mode != "list":
            return self.mode == "public"
        labels = name.lower().rstrip(".").split(".")
        while len(labels) > 1 and labels[0].startswith("_"):
            labels.pop(0)
        return any(target.names(".".join(labels)) for target in self.targets)

    def ports(self, name: str) -> list[int | None]:
        """Returns the ports of a host name that are on the list; None is all."""
        plain = name.lower().rstrip(".")
        return [target.port for target in self.targets if target.names(plain)]


NO_EGRESS: Final = Rules("none")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a connection may be made; if not, by which rule, and what would change that."""

    allowed: bool
    rule: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a worker was refused: a connection to an address, or the look-up of a name; and what would allow it."""

    worker_id: int
    address: str
    port: int
    rule: str
    remedy: str

    def __str__(self) -> str:
        """The sentence for the call's log."""
        try:
            what = f"connection to {endpoint(ipaddress.ip_address(self.address), self.port)}"
        except ValueError:
            what = f"look-up of {self.address}"
        return f"{what} refused: {self.rule}; allow it with {self.remedy}"


ALLOWED: Final = Decision(True)


def decide(
    rules: Rules,
    permitted: Iterable[Target],
    address: Address,
    port: int,
    *,
    is_own: bool = False,
    is_answered: bool = False,
) -> Decision:
    """Decides about one connection.

    `permitted` is what the platform's operator permits; `is_own` tells that the host itself has the address, and
    `is_answered` that a name on the function's list resolved to it a moment ago.
    """
    address = canonical(address)
    shown = endpoint(address, port)
    if rules.mode == "none":
        return Decision(False, "the function's egress is `none`", f"`--egress public`, or `--egress {shown}`")
    if not any(target.covers(address, port) for target in permitted):
        rule = special(address) or ("the host's own address" if is_own else None)
        if rule is not None:
            return Decision(False, rule, f"`egress_allow` (cloudserve:egressAllow) in the platform's settings: {shown}")
    if rules.mode == "list" and not is_answered and not any(target.covers(address, port) for target in rules.targets):
        return Decision(False, "not on the function's list", f"`--egress {shown}`, or its host name, added to the list")
    return ALLOWED


def parse_target(text: str) -> Target:
    """Reads `host`, `host:port`, `*.domain`, an address or a network (IPv6 in brackets where a port follows).

    Raises ValueError.
    """
    host, port = _split(text.strip().lower(), text)
    network = _network(host)
    if network is not None:
        return Target(None, network, port)
    name = host.removesuffix(".")
    numeric = name.rpartition(".")[2].isdigit()  # 10.0.0.300 and 127.1 are misspelt addresses, not names
    if numeric or "/" in name or len(name) > _MAX_NAME or not _NAME.fullmatch(name) or ".." in name:
        raise _unreadable(text)
    return Target(name, None, port)


def parse_permitted(entries: Iterable[str]) -> tuple[Target, ...]:
    """Reads what the platform permits: addresses and networks, each with a port or without. Raises ValueError."""
    targets = tuple(map(parse_target, entries))
    for target in targets:
        if target.name is not None:
            raise ValueError(f"`{target.name}` is a name; write its address or network, such as 10.0.0.0/8:5432")
    return targets


def endpoint(address: Address, port: int) -> str:
    """Returns an address and port as they are written together (RFC 3986)."""
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def _split(host: str, text: str) -> tuple[str, int | None]:
    """Splits a port off. An IPv6 address or network without brackets has none."""
    if host.startswith("["):
        inside, bracket, rest = host[1:].partition("]")
        prefix, colon, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
        host = inside + prefix
        if not bracket:
            raise _unreadable(text)
    elif host.count(":") == 1:
        host, colon, port = host.rpartition(":")
    else:
        return host, None
    if not colon:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= _MAX_PORT):
        raise _unreadable(text)
    return host, int(port)


def _network(host: str) -> Network | None:
    try:
        network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        return None
    if network.version == 6 and network.prefixlen == 128:
        return ipaddress.ip_network(canonical(network.network_address))
    return network


def _unreadable(text: str) -> ValueError:
    return ValueError(f"`{text[:80]}` is no host, address or network, with a port or without")
