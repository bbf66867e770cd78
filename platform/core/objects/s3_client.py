"""The way to an S3 server: where it is, and how patient its callers are."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from minio import Minio
from minio.helpers import md5sum_hash
from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import ReadTimeoutError

from cloudserve.core.objects.s3_names import check_bucket, check_region, endpoint_parts

_PASSING: Final = (500, 502, 503, 504)  # what a server that starts, restarts or is busy answers


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server.

    `connect_seconds` bounds the sending of one request's body, too: urllib3 sends under the timeout of the connection
    (`HTTPConnection.request`), and `socket.sendall` takes it for the whole body. `read_seconds` is for the server's
    silence before and within an answer. `retries` is how often a request is made again that could not be made, broke
    off or was answered with a passing error, after pauses that double.
    """

    connect_seconds: float
    read_seconds: float
    retries: int


WORK: Final = Patience(connect_seconds=10, read_seconds=30, retries=3)
PROBE: Final = Patience(connect_seconds=2, read_seconds=3, retries=0)


class _Retry(Retry):
    """Retries all but a server's silence: one that was silent for so long would be so again."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if isinstance(error, ReadTimeoutError):
            raise error.with_traceback(_stacktrace)
        return super().increment(method, url, response, error, _pool, _stacktrace)


class _Pool(PoolManager):
    """Sends the MD5 of each body: SeaweedFS does not check the SHA-256 that requests without TLS are signed with."""

    def urlopen(  # type: ignore[override]  # as urllib3's own pool overrides it
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> BaseHTTPResponse:
        body, headers = kw.get("body"), kw["headers"]
        if body and "Content-MD5" not in headers:
            headers["Content-MD5"] = md5sum_hash(body)
        return super().urlopen(method, url, redirect, **kw)


@dataclass(frozen=True, slots=True)
class Connection:
    """A client of a server, and the connections that it uses."""

    client: Minio
    http: PoolManager

    def close(self) -> None:
        """Closes what is open and idle; the client may be used again."""
        self.http.clear()


def connect(
    endpoint: str,
    patience: Patience,
    *,
    connections: int,
    bucket: str,
    region: str,
    access_key: str,
    secret_key: str,
) -> Connection:
    """Returns a client for a bucket that uses at most `connections` connections, made when they are needed.

    Raises ValueError, which names the argument and never what opens the server.
    """
    for name, value in (("access_key", access_key), ("secret_key", secret_key)):
        if not value:
            raise ValueError(f"{name}: it is empty")
    with _named("bucket"):
        check_bucket(bucket)
    with _named("region"):
        check_region(region)
    with _named("endpoint"):
        secure, host = endpoint_parts(endpoint)
    http = _http_pool(patience, connections=connections, secure=secure)
    return Connection(Minio(host, access_key, secret_key, secure=secure, region=region, http_client=http), http)


def _http_pool(patience: Patience, *, connections: int, secure: bool) -> PoolManager:
    return _Pool(
        maxsize=connections,
        timeout=Timeout(connect=patience.connect_seconds, read=patience.read_seconds),
        retries=_Retry(
            total=patience.retries,
            allowed_methods=None,  # all: an upload begun twice is swept, and completing one twice does no harm
            redirect=False,  # a signed request is for the server that it was signed for
            backoff_factor=0.2,
            status_forcelist=_PASSING,
            raise_on_status=False,  # so that the server's own words are told
            respect_retry_after_header=False,  # a thread does not sleep for as long as a server likes
        ),
        ssl_context=ssl.create_default_context() if secure else None,  # trusts whom the host trusts (SSL_CERT_FILE)
    )


@contextmanager
def _named(argument: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from None
