"""What a root of its own shows: the system's programs and libraries, read-only, and next to nothing else of the host.

A `Root` is a description; `walls.enter_root` makes it. Whoever needs more than `system_root` adds to it with `plus`.
"""

import os
import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from cloudserve.core.confine.egress.resolvers import WORKER_OPTIONS, Resolvers

_LIBRARIES: Final = ("bin", "lib", "sbin")
"""How the names of the system's folders beside /usr begin: also lib64, libx32."""

_SHOWN_OF_ETC: Final = (
    "alternatives",
    "ca-certificates/extracted",
    "crypto-policies",
    "ld.so.cache",
    "localtime",
    "mime.types",
    "pki/ca-trust/extracted",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
)
"""Public knowledge: where libraries are, whom to trust, what time it is. Never all of ssl: it has private keys."""

_DEVICES: Final = ("full", "null", "random", "urandom", "zero")

NOBODY: Final = 65534


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of the host, with all that is mounted beneath; at the same place unless `target` is given."""

    source: str
    target: str = ""
    writable: bool = False
    device: bool = False

    @property
    def place(self) -> str:
        """Where it appears."""
        return self.target or self.source


@dataclass(frozen=True, slots=True)
class Root:
    """All that there is in a root. Folders on the way to anything are made, readable by all.

    Args:
        binds: what is shown of the host.
        links: symbolic links, by their path.
        files: small files of our own, by their path.
        folders: empty folders, to be mounted on later.
    """

    binds: tuple[Bind, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()

    def plus(
        self,
        *,
        binds: Iterable[Bind] = (),
        files: Mapping[str, str] = MappingProxyType({}),
        folders: Iterable[str] = (),
    ) -> Self:
        """Returns a root with more in it. What an earlier bind shows already at the same place is not bound again."""
        kept = list(self.binds)
        for bind in binds:
            if not any(_shows(other, bind) for other in kept):
                kept.append(bind)
        return type(self)(tuple(kept), self.links, {**self.files, **files}, (*self.folders, *folders))


def system_root(
    *, certificates: Iterable[str] = (), shown: Iterable[str] = (), interpreter: Iterable[str] | None = None
) -> Root:
    """Returns a root with the system's programs and libraries, this interpreter, and the least that both need.

    Args:
        certificates: files and folders with certificates to trust, beside those that OpenSSL looks for.
        shown: other files and folders, such as a program outside of /usr.
        interpreter: what an interpreter consists of, this one unless given.
    """
    binds: list[Bind] = []
    links: dict[str, str] = {}
    for path in _system_paths():
        _show(path, binds, links)
    files = {
        "/etc/passwd": f"root:x:0:0::/:/bin/false\nnobody:x:{NOBODY}:{NOBODY}::/tmp:/bin/sh\n",
        "/etc/group": f"root:x:0:\nnogroup:x:{NOBODY}:\n",
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "/etc/resolv.conf": resolver_configuration(Resolvers.of_host()),
    }
    links |= {"/dev/fd": "/proc/self/fd"}
    links |= {f"/dev/{name}": f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
    devices = [Bind(f"/dev/{name}", device=True) for name in _DEVICES]
    root = Root(tuple(binds), links, files, ("/proc", "/tmp", "/dev/shm"))  # noqa: S108 - places in a root of its own
    verify = ssl.get_default_verify_paths()
    trusted = (*certificates, verify.openssl_cafile, verify.openssl_capath)
    programs = (*(interpreter_paths() if interpreter is None else interpreter), *shown)
    more = [Bind(path) for path in (*programs, *trusted) if Path(path).exists()]
    return root.plus(binds=[*devices, *more])


def interpreter_paths() -> list[str]:
    """Returns the folders and files that this interpreter consists of."""
    return sorted({sys.prefix, sys.exec_prefix, os.path.realpath(sys.executable)})


def resolver_configuration(resolvers: Resolvers) -> str:
    """Returns a resolv.conf(5) with these name servers, asked over TCP: datagrams do not pass the walls."""
    servers = "".join(f"nameserver {address}\n" for address, _port in resolvers.nameservers)
    return f"{servers}options {WORKER_OPTIONS}\n"


def shown_of_etc() -> Iterator[str]:
    """Yields what of /etc may be seen, where this host has it."""
    for name in _SHOWN_OF_ETC:
        path = f"/etc/{name}"
        if os.path.lexists(path):
            yield path


def _system_paths() -> Iterator[str]:
    yield "/usr"
    for name in sorted(os.listdir("/")):  # noqa: PTH208 - names are what is wanted
        if name.startswith(_LIBRARIES):
            yield f"/{name}"
    yield from shown_of_etc()


def _show(path: str, binds: list[Bind], links: dict[str, str]) -> None:
    """Shows a link as the link it is, and all else by a bind."""
    if Path(path).is_symlink():
        links[path] = os.readlink(path)  # noqa: PTH115 - its text as it is
    else:
        binds.append(Bind(path))


def _shows(shown: Bind, other: Bind) -> bool:
    """Tells whether a bind shows already what another one would."""
    return (
        shown.source == shown.place
        and other.source == other.place
        and shown.writable == other.writable
        and Path(other.source).is_relative_to(shown.source)
    )
