"""What the object store guarantees over real S3 servers in particular: buckets, rights, crashes, size and load."""

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from urllib3.connection import HTTPConnection

from cloudserve.core.objects.abc import ObjectsUnavailable
from cloudserve.core.objects.minio import PART, THREADS, S3Objects
from cloudserve.core.objects.s3_uploads import sweep_uploads
from tests.servers.minio import MinioServer, least_rights
from tests.servers.s3 import S3Access, S3Server, a_bucket, shared
from tests.servers.seaweedfs import SeaweedServer

pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1024 * 1024
SERVERS = [pytest.param(MinioServer, id="minio"), pytest.param(SeaweedServer, id="seaweedfs")]


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> type[S3Server]:
    """Each server in turn."""
    kind: type[S3Server] = request.param
    return kind


@pytest.fixture
def access(kind: type[S3Server]) -> S3Access:
    """What opens a bucket that is not there yet."""
    return shared(kind).access()


@pytest.fixture
async def objects(access: S3Access) -> AsyncIterator[S3Objects]:
    """An open, empty object store."""
    objects = access.objects()
    await objects.open()
    yield objects
    await objects.close()


async def test_services_that_start_together_share_a_bucket(access: S3Access) -> None:
    """It is missing for all of them, and one makes it."""
    services = [access.objects() for _ in range(6)]
    await asyncio.gather(*(service.open() for service in services))
    await services[0].put("k", b"content")
    assert [await service.read("k") for service in services] == [b"content"] * 6
    await asyncio.gather(*(service.close() for service in services))


async def test_a_bucket_that_has_gone_is_told() -> None:
    """Until a service makes it again. SeaweedFS makes it by itself for the next put."""
    access = shared(MinioServer).access()
    objects = access.objects()
    await objects.open()
    client = access.client()
    for entry in client.list_objects(access.bucket, recursive=True):
        client.remove_object(access.bucket, entry.object_name)
    client.remove_bucket(access.bucket)
    with pytest.raises(ObjectsUnavailable, match="no such bucket"):
        await objects.ping()
    with pytest.raises(ObjectsUnavailable, match="no such bucket"):
        await objects.put("k", b"content")
    await objects.open()
    await objects.ping()
    await objects.put("k", b"content")
    await objects.close()


async def test_a_key_without_the_right_to_make_the_bucket_says_so() -> None:
    """Where it is missing; the rights that the documentation recommends serve a bucket that is there."""
    server = shared(MinioServer)
    access = server.access()
    restricted = server.restricted(access, least_rights(access.bucket)).objects()
    with pytest.raises(ObjectsUnavailable, match="check the key, its secret and its rights"):
        await restricted.open()
    access.client().make_bucket(access.bucket)
    await restricted.open()
    await restricted.close()


async def test_the_recommended_rights_are_for_one_bucket() -> None:
    """Another one on the same server stays closed to the key."""
    server = shared(MinioServer)
    access = server.access()
    for bucket in (access.bucket, other := a_bucket()):
        access.client().make_bucket(bucket)
    restricted = server.restricted(access, least_rights(access.bucket))
    with pytest.raises(ObjectsUnavailable, match="check the key, its secret and its rights"):
        await restricted.to(other).objects().open()


@pytest.mark.parametrize("wrong", ["access_key", "secret_key"])
async def test_wrong_keys_are_refused_and_not_repeated(access: S3Access, wrong: str) -> None:
    """The error names the server and the bucket, and nothing of the key."""
    keys = {"access_key": access.access_key, "secret_key": access.secret_key, wrong: "this-is-the-wrong-one"}
    objects = S3Objects(access.endpoint, bucket=access.bucket, region=access.region, **keys)
    with pytest.raises(ObjectsUnavailable, match="refuses the access key") as caught:
        await objects.open()
    assert f"{access.endpoint} (bucket {access.bucket})" in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert not re.search("|".join(keys.values()), f"{error!r}{error}")
        error = error.__cause__


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        pytest.param(MinioServer, MinioServer.stop, id="minio-stopped"),
        pytest.param(MinioServer, MinioServer.kill, id="minio-killed"),
        pytest.param(SeaweedServer, SeaweedServer.kill, id="seaweedfs-killed"),
    ],
)
async def test_a_server_comes_back_with_its_objects(
    kind: type[S3Server], end: Callable[[S3Server], None], tmp_path: Path
) -> None:
    """Meanwhile objects are unavailable; who has them open needs to do nothing."""
    server = await asyncio.to_thread(kind.in_folder(tmp_path).start)
    try:
        objects = server.access().objects()
        await objects.open()
        await objects.put("small", b"content")
        await objects.put("big", bytes(2 * PART))
        await asyncio.to_thread(end, server)
        for attempt in (objects.read("small"), objects.put("k", b""), objects.stat("k"), objects.ping()):
            with pytest.raises(ObjectsUnavailable):
                await attempt
        await asyncio.to_thread(server.start)
        await objects.ping()
        assert await objects.read("small") == b"content"
        assert await objects.read("big") == bytes(2 * PART)
        await objects.close()
    finally:
        await asyncio.to_thread(server.kill)


async def test_a_kill_in_the_middle_of_a_big_put_leaves_the_old_object(
    access: S3Access, objects: S3Objects, tmp_path: Path
) -> None:
    """Nothing else is listed; what was uploaded is found and ended, once it is old enough."""
    await objects.put("k", b"old")
    big = tmp_path / "big"
    await asyncio.to_thread(make_sparse, big, 300 * MEBIBYTE)
    with start_worker("put", access, tmp_path, "k", big) as process:
        await asyncio.to_thread(wait_for_uploads, access, 1)
        process.kill()
    assert await objects.read("k") == b"old"
    assert [info.key async for info in objects.list()] == ["k"]
    now = datetime.now(UTC)
    await asyncio.to_thread(sweep_uploads, access.client(), access.bucket, before=now - timedelta(days=1))
    assert len(uploads_of(access)) == 1
    await asyncio.to_thread(sweep_uploads, access.client(), access.bucket, before=now + timedelta(days=1))
    assert uploads_of(access) == []
    assert await objects.read("k") == b"old"


async def test_a_server_killed_in_the_middle_of_a_put_keeps_what_was_confirmed(
    kind: type[S3Server], tmp_path: Path
) -> None:
    """An object is one of those that were put, whole."""
    server = await asyncio.to_thread(kind.in_folder(tmp_path).start)
    try:
        objects = server.access().objects()
        await objects.open()
        confirmed: list[int] = []
        enough = asyncio.Event()

        async def put_until_it_fails() -> None:
            for number in range(1000):
                await objects.put("k", bytes([number % 256]) * PART)
                confirmed.append(number)
                if number == 5:
                    enough.set()

        putting = asyncio.create_task(put_until_it_fails())
        await enough.wait()
        await asyncio.to_thread(server.kill)
        with pytest.raises(ObjectsUnavailable):
            await putting
        await asyncio.to_thread(server.start)
        content = await objects.read("k")
        assert len(content) == PART
        assert content == bytes([content[0]]) * PART
        assert content[0] in {confirmed[-1] % 256, (confirmed[-1] + 1) % 256}
        await objects.close()
    finally:
        await asyncio.to_thread(server.kill)


async def test_big_objects_need_little_memory(access: S3Access, objects: S3Objects, tmp_path: Path) -> None:
    """300 MB are put and fetched, both verified, with the memory of a few parts."""
    big = tmp_path / "big"
    await asyncio.to_thread(make_sparse, big, 300 * MEBIBYTE)
    with start_worker("there-and-back", access, tmp_path, "k", big) as process:
        output, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    grown = int(output)
    assert grown < 8 * PART
    info = await objects.stat("k")
    assert info is not None
    assert info.size == 300 * MEBIBYTE


async def test_tls_is_used_with_authorities_that_the_host_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with no others."""
    certificate = await asyncio.to_thread(self_signed, tmp_path / "certs")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = await asyncio.to_thread(MinioServer.in_folder(tmp_path).start)
    try:
        objects = server.access().objects()
        await objects.open()
        for content in (b"", b"small", bytes(range(256)) * 4096 * 10):
            await objects.put("k", content)
            assert await objects.read("k") == content
        await objects.close()
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(ObjectsUnavailable, match="can't be reached by TLS"):
            await server.access().objects().open()
    finally:
        await asyncio.to_thread(server.kill)


async def test_many_puts_at_once_all_arrive(objects: S3Objects) -> None:
    """On the few threads that there are."""
    contents = {f"many/{number}": f"{number}".encode() * 10_000 for number in range(100)}
    stored = await asyncio.gather(*(objects.put(key, content) for key, content in contents.items()))
    assert {info.key: info.size for info in stored} == {key: len(content) for key, content in contents.items()}
    read = await asyncio.gather(*map(objects.read, contents))
    assert read == list(contents.values())
    assert sum(thread.name.startswith("objects_") for thread in threading.enumerate()) <= THREADS


async def test_more_objects_than_a_server_tells_at_once_are_listed(objects: S3Objects) -> None:
    """Each once."""
    keys = {f"many/{number}/{number}" for number in range(1_010)}
    await asyncio.gather(*(objects.put(key, b"") for key in keys))
    found = [info.key async for info in objects.list("many/")]
    assert len(found) == len(keys)
    assert set(found) == keys


async def test_objects_beyond_what_one_copy_takes_are_touched_in_parts(
    objects: S3Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers copy 5 GiB at most in one request; here the SDK believes that it is less."""
    content = bytes(range(256)) * 4 * 16 * 1024
    await objects.put("k", content)
    before = await objects.stat("k")
    monkeypatch.setattr("minio.api.MAX_PART_SIZE", 5 * MEBIBYTE)
    await asyncio.sleep(1.1)  # HTTP's dates are seconds
    assert await objects.touch("k")
    after = await objects.stat("k")
    assert before is not None
    assert after is not None
    assert (after.size, after.sha256) == (before.size, before.sha256)
    assert after.modified > before.modified
    assert await objects.read("k") == content


async def test_touching_renews_each_time(objects: S3Objects) -> None:
    """Also an object that was touched before and has not changed since."""
    times = [(await objects.put("k", b"content")).modified]
    for _ in range(2):
        await asyncio.sleep(1.1)  # HTTP's dates are seconds
        assert await objects.touch("k")
        info = await objects.stat("k")
        assert info is not None
        times.append(info.modified)
    assert times == sorted(set(times))


async def test_touching_beside_a_put_spoils_nothing(objects: S3Objects) -> None:
    """An object that is replaced meanwhile does not get the hash of the old one."""
    contents = [bytes([number]) * 100_000 for number in range(20)]
    await objects.put("k", contents[0])

    async def put() -> None:
        for content in contents:
            await objects.put("k", content)

    putting = asyncio.create_task(put())
    while not putting.done():
        assert await objects.touch("k")
    await putting
    assert await objects.read("k") == contents[-1]


@pytest.mark.parametrize("size", [5_000, PART + 5_000])
async def test_what_is_damaged_on_its_way_is_refused(
    objects: S3Objects, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """By the server, so that there is no object that nobody could read."""
    request = HTTPConnection.request

    def damaging(self: HTTPConnection, method: str, url: str, body: bytes | None = None, **others: Any) -> None:
        damaged = body[:-1] + bytes([body[-1] ^ 1]) if body and len(body) == 5_000 else body
        request(self, method, url, damaged, **others)

    monkeypatch.setattr(HTTPConnection, "request", damaging)
    with pytest.raises(ObjectsUnavailable, match="received something else than was sent"):
        await objects.put("k", bytes(size))
    assert await objects.stat("k") is None


def self_signed(folder: Path) -> Path:
    """Makes a key and a certificate for loopback, and returns the latter."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "private.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain))
    (folder / "public.crt").write_bytes(certificate.public_bytes(pem))
    return folder / "public.crt"


def make_sparse(file: Path, size: int) -> None:
    """Makes a file of zeros that takes no space."""
    with file.open("wb") as content:
        content.truncate(size)


def start_worker(job: str, access: S3Access, folder: Path, *arguments: object) -> "subprocess.Popen[bytes]":
    """Starts a job of this module as a process of its own."""
    file = folder / "access"
    access.save(file)
    command = [sys.executable, "-m", "tests.contract.s3_worker", job, str(file), *map(str, arguments)]
    environment = {"PYTHONPATH": f"{ROOT / '.src'}:{ROOT}"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def uploads_of(access: S3Access) -> "list[str]":
    """Returns the names of the objects that are being uploaded."""
    # MinIO tells of all uploads only without a prefix, or of those of exactly one object.
    page = access.client()._list_multipart_uploads(access.bucket)
    return [upload.object_name for upload in page.uploads]


def wait_for_uploads(access: S3Access, count: int) -> None:
    """Returns when that many uploads are under way."""
    until = time.monotonic() + 60
    while len(uploads_of(access)) < count:
        assert time.monotonic() < until
        time.sleep(0.01)
