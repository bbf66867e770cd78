"""Which connections a run may make: to the hosts of its order, whatever addresses they have.

They are looked up once, with all that this host knows of names, so that a registry in its /etc/hosts, on its loopback
interface or in its private network is found and reached: its operator has named it. Everything else is refused.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cloudserve.core.confine.egress.policy import Refusal, Rules, endpoint, parse_permitted
from cloudserve.core.confine.egress.resolvers import DNS_PORT
from cloudserve.core.confine.egress.supervisor import Supervisor

_RUN = 0
"""The one that this supervisor has."""


@dataclass(frozen=True, slots=True)
class Found:
    """The hosts of an order: as they were given, the addresses that they have, and lines for a hosts(5) file."""

    hosts: tuple[str, ...]
    addresses: tuple[str, ...]
    lines: str


def look_up(hosts: Iterable[str]) -> Found:
    """Asks this host for the addresses of each `host:port`. One that has none is left for the tool to complain of."""
    given = tuple(dict.fromkeys(hosts))
    addresses: dict[str, None] = {}
    lines: dict[str, None] = {}
    for host in given:
        name, _, port = host.rpartition(":")
        name = name.strip("[]")
        try:
            answers = socket.getaddrinfo(name, int(port), type=socket.SOCK_STREAM)
        except OSError:
            continue
        for *_, place in answers:
            address = ipaddress.ip_address(str(place[0]).partition("%")[0])
            addresses[endpoint(address, int(port))] = None
            if str(address) != name:
                lines[f"{address} {name}\n"] = None
    return Found(given, tuple(addresses), "".join(lines))


def supervise(found: Found, listener: int, on_refused: Callable[[str], None], *, keeps_sockets: bool) -> Supervisor:
    """Returns a supervisor of the one run behind `listener`, which it takes over."""

    def tell(refusal: Refusal) -> None:
        is_name = refusal.port == DNS_PORT and not _is_address(refusal.address)
        on_refused(refusal.address if is_name else endpoint(ipaddress.ip_address(refusal.address), refusal.port))

    permitted = parse_permitted(found.addresses)
    supervisor = Supervisor(on_refused=tell, permitted=permitted, keeps_sockets=keeps_sockets)
    supervisor.add(_RUN, listener)
    supervisor.allow(_RUN, Rules.parse("list", (*found.hosts, *found.addresses)))
    return supervisor


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
