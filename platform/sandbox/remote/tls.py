"""Who may speak with whom: TLS 1.3 both ways, with certificates of a private authority that name their holder's role.

A gateway holds a certificate for the name `GATEWAY`, a sandbox host one for `SANDBOX` (dNSName, RFC 6125 section
1.8), both signed by the authority in `ca`, which signs nothing else. A gateway speaks with sandboxes alone, a sandbox
with gateways alone, whatever address they have.

The files are read again when they change; a pair that does not fit, as when one was replaced and the other not yet,
leaves what was read before in force. Without TLS nothing but loopback is spoken with.
"""

import ipaddress
import logging
import ssl
from pathlib import Path
from typing import Any, Final

GATEWAY: Final = "gateway.cloudserve"
SANDBOX: Final = "sandbox.cloudserve"

_log = logging.getLogger(__name__)


class NotLoopback(ValueError):  # noqa: N818 - reads as what is wrong
    """An address beyond this host, without TLS."""


class TlsFiles:
    """A certificate, its key and the authority whose certificates are accepted, as PEM files.

    Raises OSError or ssl.SSLError from the first use when they can't be read.
    """

    def __init__(self, ca: Path, cert: Path, key: Path) -> None:
        self._files = (ca, cert, key)
        self._kept: dict[ssl._SSLMethod, tuple[object, ssl.SSLContext]] = {}

    def __repr__(self) -> str:
        return f"TlsFiles(cert={str(self._files[1])!r})"

    def of_gateway(self) -> ssl.SSLContext:
        """Returns the context to connect with; `server_hostname` is to be `SANDBOX`."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def of_sandbox(self) -> ssl.SSLContext:
        """Returns the context to accept connections with; `is_gateway` has to be asked of each."""
        return self._context(ssl.PROTOCOL_TLS_SERVER)

    def _context(self, protocol: "ssl._SSLMethod") -> ssl.SSLContext:
        kept = self._kept.get(protocol)
        try:
            seen = [(status.st_ino, status.st_mtime_ns, status.st_size) for status in map(Path.stat, self._files)]
            if kept is not None and kept[0] == seen:
                return kept[1]
            context = self._made(protocol)
        except OSError as error:  # ssl.SSLError is one
            if kept is None:
                raise
            _log.warning("the TLS files can't be read, those read before stay in force: %s", error)
            return kept[1]
        self._kept[protocol] = (seen, context)
        return context

    def _made(self, protocol: "ssl._SSLMethod") -> ssl.SSLContext:
        ca, cert, key = self._files
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = protocol == ssl.PROTOCOL_TLS_CLIENT
        context.load_verify_locations(ca)
        context.load_cert_chain(cert, key)
        return context


def is_gateway(certificate: dict[str, Any] | None) -> bool:
    """Tells whether a verified certificate (`ssl.SSLSocket.getpeercert`) is a gateway's."""
    return certificate is not None and ("DNS", GATEWAY) in certificate.get("subjectAltName", ())


def require_loopback(sockets_address: tuple[Any, ...]) -> None:
    """Raises `NotLoopback` for the address of another host, as `getsockname` or `getpeername` gives it."""
    if not ipaddress.ip_address(sockets_address[0].partition("%")[0]).is_loopback:
        raise NotLoopback(
            f"{sockets_address[0]} is another host's address, and without TLS only loopback is spoken with. "
            "Give certificates."
        )
