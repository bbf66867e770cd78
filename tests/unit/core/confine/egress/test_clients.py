"""Clients as everybody uses them, by name, at every tier: nothing in them knows of walls."""

import asyncio
import datetime as dt
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloudserve.core.confine.egress.resolvers import DNS_PORT, WORKER_OPTIONS, Resolvers
from tests.unit.core.confine.egress import databases
from tests.unit.core.confine.egress.behind import WALLS, Behind
from tests.unit.core.confine.egress.resolver import Resolver, resolving
from tests.unit.core.confine.egress.servers import serving

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="it takes Linux's root to answer on port 53"
)

HOST = "server.example"
REFUSED = "private.example"
RESOLVER = str(ip_address("127.53.0.0") + os.getpid() % 65535 + 1)
"""Of this run alone: others may run on this machine."""
PG = "8.16.3"


@dataclass(frozen=True)
class Place:
    """Where a client may connect to: ports of one name; and a certificate for it."""

    behind: Behind
    http: int
    https: int
    redis: int
    mongo: int
    postgres: int
    certificate: Path

    def run(self, work: Any) -> Any:
        """Runs a client behind the walls."""
        return self.behind.run(work)


def _http(connection: socket.socket) -> None:
    with connection.makefile("rb") as stream:
        while stream.readline().startswith(b"GET "):
            while stream.readline() not in (b"\r\n", b""):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and the certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now.replace(year=2100))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(private + made.public_bytes(pem))
    return file


@pytest.fixture(params=WALLS)
def place(request: pytest.FixtureRequest, certificate: Path, tmp_path: Path) -> Iterator[Place]:
    """Servers on this host that the operator permits, and a resolver that knows their name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            _http(wrapped)

    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text(f"nameserver {RESOLVER}\noptions {WORKER_OPTIONS}\n")
    names = {HOST: ["127.0.0.1"], REFUSED: ["10.0.0.1"]}
    with (
        resolving(Resolver(names, host=RESOLVER, port=DNS_PORT)),
        serving(_http) as http,
        serving(secured) as https,
        serving(databases.redis) as redis,
        serving(databases.mongo) as mongo,
        serving(databases.postgres) as postgres,
        Behind(
            request.param,
            permitted=("127.0.0.1",),
            resolvers=Resolvers(((ip_address(RESOLVER), DNS_PORT),)),
            resolv_conf=resolv_conf,
        ) as behind,
    ):
        yield Place(behind, http, https, redis, mongo, postgres, certificate)


def test_pythons_own_clients(place: Place) -> None:
    """getaddrinfo, urllib, TLS, asyncio with and without TLS, uvloop."""

    def client() -> list[object]:
        plain, secure = f"http://{HOST}:{place.http}/", f"https://{HOST}:{place.https}/"
        context = ssl.create_default_context(cafile=place.certificate)

        async def streams(tls: ssl.SSLContext | None) -> bytes:
            reader, writer = await asyncio.open_connection(HOST, place.https if tls else place.http, ssl=tls)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            said = await reader.readexactly(5)
            writer.transport.abort()
            return said

        with urllib.request.urlopen(plain) as answer, urllib.request.urlopen(secure, context=context) as secured:
            said = [answer.read(), secured.read()]
        addresses = {entry[4][0] for entry in socket.getaddrinfo(HOST, 80)}
        return [
            addresses,
            *said,
            asyncio.run(streams(None)),
            asyncio.run(streams(context)),
            uvloop.run(streams(context)),
        ]

    assert place.run(client) == [{"127.0.0.1"}, *[b"hello"] * 5]


def test_requests_and_aiohttp(place: Place) -> None:
    """In a session each, plain and with TLS."""

    def client() -> list[str]:
        import aiohttp
        import requests

        urls = [f"http://{HOST}:{place.http}/", f"https://{HOST}:{place.https}/"]
        context = ssl.create_default_context(cafile=place.certificate)

        async def looped() -> list[str]:
            said = []
            async with aiohttp.ClientSession() as session:
                for url in urls:
                    async with session.get(url, ssl=context) as answer:
                        said.append(await answer.text())
            return said

        with requests.Session() as session:
            said = [session.get(url, verify=str(place.certificate)).text for url in urls]
        return [*said, *asyncio.run(looped())]

    assert place.run(client) == ["hello"] * 4


def test_pythons_database_drivers(place: Place) -> None:
    """redis, pymongo and psycopg, whose C library connects by itself."""

    def client() -> list[object]:
        import psycopg
        import pymongo
        import redis

        with redis.Redis(HOST, place.redis, protocol=2, socket_connect_timeout=10, socket_keepalive=True) as cache:
            said: list[object] = [cache.ping()]
        url = f"mongodb://{HOST}:{place.mongo}/?directConnection=true"
        with pymongo.MongoClient(url, serverSelectionTimeoutMS=10_000) as mongo:
            said.append(mongo.admin.command("ping")["ok"])
        with psycopg.connect(
            host=HOST, port=place.postgres, user="ann", dbname="db", connect_timeout=10, autocommit=True
        ) as database:
            row = database.execute("select n").fetchone()
            said.append(row and row[0])
        return said

    assert place.run(client) == [True, 1.0, "42"]


def test_a_refused_name_fails_as_a_refused_address_does(place: Place) -> None:
    """It resolves; the connection fails with EACCES in the client's own error."""

    def client() -> list[str]:
        import requests

        said = []
        for attempt in (
            lambda: urllib.request.urlopen(f"http://{REFUSED}/"),
            lambda: requests.get(f"http://{REFUSED}/"),
        ):
            try:
                attempt()
            except OSError as error:
                said.append(str(error))
        return said

    said = place.run(client)
    assert len(said) == 2
    assert all("[Errno 13] Permission denied" in words for words in said)
    assert {refusal.address for refusal in place.behind.refusals} == {"10.0.0.1"}


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.fail("this test needs Node; install it, or leave the test out by -k")
    return found


def test_nodes_own_clients(place: Place) -> None:
    """fetch, http, https, net, both ways to resolve, worker threads, and thirty at once."""
    script, node = Path(__file__).with_name("clients.mjs"), _node()
    said = {
        "host": HOST,
        "port": place.http,
        "secure": place.https,
        "ca": place.certificate.read_text(),
        "refused": REFUSED,
    }

    def client() -> str:
        done = subprocess.run(
            [node, str(script), json.dumps(said)], capture_output=True, text=True, env={}, check=False
        )
        return done.stdout + done.stderr

    assert json.loads(place.run(client)) == {
        **dict.fromkeys(("fetch", "http", "keptAlive", "https", "thread"), "hello"),
        "net": "connected",
        "lookup": "127.0.0.1",
        "resolve": ["127.0.0.1"],
        "parallel": 30,
        "refused": "EACCES",
        "fetchRefused": "EACCES",
    }


@pytest.fixture(scope="module")
def pg() -> Path:
    """A folder with the package `pg`, kept from run to run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudserve-tests" / f"pg-{PG}"
    if not (cache / "node_modules" / "pg").exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"pg@{PG}"], cwd=cache, check=True
        )
    return cache


@pytest.mark.full
def test_nodes_database_driver(place: Place, pg: Path) -> None:
    """The package `pg`, as it is."""
    node = _node()
    where = json.dumps({"host": HOST, "port": place.postgres, "user": "ann", "database": "db"})
    script = """
        const { Client } = require('pg');
        (async () => {
          const client = new Client(JSON.parse(process.argv[1]));
          await client.connect();
          console.log((await client.query('select n')).rows[0].n);
          process.exit(0);
        })();
    """

    def client() -> str:
        done = subprocess.run([node, "-e", script, where], cwd=pg, capture_output=True, text=True, env={}, check=False)
        return done.stdout + done.stderr

    assert place.run(client).strip() == "42"
