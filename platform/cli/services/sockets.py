"""The addresses of a service, taken before anything of it is started.

They are bound but do not listen yet: whoever comes before the service can serve is refused at once, which is what load
balancers understand, and a port that somebody else has is known while nothing runs.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloudserve.cli.services.faults import Fault, UnusableSettings
from cloudserve.cli.services.settings import Configuration, Role
from cloudserve.cli.supervision.listeners import Address, Origin, bound

_ORIGINS: Final[dict[Role, tuple[Origin, ...]]] = {
    "api": ("platform",),
    "gateway": ("run",),
    "sandbox": ("sandbox",),
    "all": ("platform", "run"),
}
_SETTINGS: Final[dict[Origin, str]] = {
    "platform": "port",
    "run": "run_port",
    "sandbox": "sandbox_port",
    "internal": "metrics_port",
}


@dataclass(frozen=True, slots=True)
class Sockets:
    """The service's sockets by the name of what they are for, and the internal one."""

    origins: dict[Origin, socket.socket]
    internal: socket.socket

    def told(self) -> dict[str, str]:
        """Returns where they are, for the log; a port 0 has become one."""
        return {name: address_of(one) for name, one in {**self.origins, "internal": self.internal}.items()}

    @classmethod
    def bind(cls, configuration: Configuration) -> "Sockets":
        """Takes the addresses. Raises `UnusableSettings`, and then holds none."""
        settings, service = configuration.settings, configuration.service
        wanted: dict[Origin, tuple[str, int]] = {
            "platform": (settings.host, settings.port),
            "run": (settings.host, settings.run_port),
            "sandbox": (settings.host, service.sandbox_port),
        }
        taken: dict[Origin, socket.socket] = {}
        faults: list[Fault] = []
        addresses = [Address(origin, *wanted[origin]) for origin in _ORIGINS[configuration.role]]
        addresses.append(Address("internal", service.metrics_host, service.metrics_port))
        for address in addresses:
            try:
                taken[address.origin] = bound(address)
            except OSError as error:
                remedy = "Choose another, or end what has it."
                faults.append(Fault(_SETTINGS[address.origin], error.strerror or str(error), remedy))
        if faults:
            for one in taken.values():
                one.close()
            raise UnusableSettings(configuration.role, faults)
        internal = taken.pop("internal")
        return cls(taken, internal)

    @classmethod
    def inherited(cls, origins: dict[Origin, int], internal: int) -> "Sockets":
        """Returns those of descriptors that a watching process has handed over."""
        return cls(
            {name: socket.socket(fileno=number) for name, number in origins.items()}, socket.socket(fileno=internal)
        )


def address_of(one: socket.socket) -> str:
    """Returns `host:port`, an IPv6 address in brackets."""
    name: Sequence[object] = one.getsockname()
    host = f"[{name[0]}]" if ":" in str(name[0]) else name[0]
    return f"{host}:{name[1]}"
