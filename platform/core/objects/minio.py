"""Objects in a bucket of an S3 server: MinIO, SeaweedFS, Garage, AWS S3 and others.

Only calls that all of these have are made: HeadBucket, CreateBucket, HeadObject, GetObject, PutObject, CopyObject,
DeleteObject, ListObjectsV2 and multipart uploads. Servers are asked for nothing beyond HTTP's own consistency of a
single object, which every one of them gives after a write.

The SHA-256 of an object's content is its metadata `sha256`, written in one request with the content and replaced with
it. What has no such metadata was put there by somebody else: it is not found, listed or deleted, and not read either.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, TypeVar, cast

from minio import S3Error
from minio.commonconfig import REPLACE, CopySource
from minio.datatypes import Object
from urllib3.exceptions import ProtocolError

from cloudserve.core.objects.abc import Corrupt, Missing, ObjectInfo, Objects, ObjectsUnavailable
from cloudserve.core.objects.content import CHUNK, check_asked, check_hash, chunks_in, write_verified
from cloudserve.core.objects.keys import MARK, begins_keys, key_of, name_of
from cloudserve.core.objects.s3_client import PROBE, WORK, connect
from cloudserve.core.objects.s3_errors import told
from cloudserve.core.objects.s3_uploads import sweep_uploads
from cloudserve.core.objects.threads import Caller, GivenUp, Threads

T = TypeVar("T")

# Each thread holds at most one part in memory. A part must be sent within `WORK.connect_seconds`: 6.7 Mbit/s.
THREADS: Final = 8
PART: Final = 8 * 1024 * 1024

_HASH: Final = "sha256"
_HASH_HEADER: Final = f"x-amz-meta-{_HASH}"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TRIAL: Final = f"{MARK}cloudserve"
_ABANDONED: Final = timedelta(days=1)  # no put takes that long
_PAGE: Final = 1000  # what servers tell at once
_TOGETHER: Final = THREADS // 2  # listing leaves threads to the others
_MADE_BY_ANOTHER: Final = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})

_log = logging.getLogger(__name__)


class S3Objects(Objects):
    """Objects in one bucket, which `open` makes if need be.

    `endpoint` is the server's URL without a path. Bad arguments raise ValueError, which names them.
    """

    def __init__(self, endpoint: str, *, bucket: str, region: str, access_key: str, secret_key: str) -> None:
        self._bucket = bucket
        self._place = f"the object store {endpoint} (bucket {bucket})"
        access = partial(connect, endpoint, bucket=bucket, region=region, access_key=access_key, secret_key=secret_key)
        self._working = access(WORK, connections=THREADS)
        self._client = self._working.client
        self._threads = Threads("objects", THREADS)
        # A way of its own, so that readiness does not wait behind work that a slow server holds up.
        self._probe = access(PROBE, connections=1)
        self._probing = Threads("objects-probe", 1)

    async def open(self) -> None:
        """Makes the bucket if it is missing, tries writing to it, and ends what crashed processes were uploading.

        Raises `ObjectsUnavailable`, after which it may be called again.
        """
        was_open = self._threads.started
        self._threads.start()
        self._probing.start()
        try:
            await self._run(lambda _: self._open())
        except BaseException:
            if not was_open:
                await self.close()
            raise

    async def close(self) -> None:
        await self._threads.stop()
        await self._probing.stop()
        self._working.close()
        self._probe.close()

    async def ping(self) -> None:
        """Asks for the bucket. Whether it can be written to is tried by `open`: a trial each time would be billed."""
        await self._run(lambda _: self._ping(), self._probing)

    async def put(self, key: str, content: bytes | Path) -> ObjectInfo:
        name = name_of(key)
        return await self._run(lambda caller: self._put(key, name, content, caller))

    async def read(self, key: str) -> bytes:
        name = name_of(key)
        return await self._run(lambda caller: self._read(key, name, caller))

    async def fetch(self, key: str, target: Path, *, sha256: str | None = None) -> ObjectInfo:
        name = name_of(key)
        return await self._run(lambda caller: self._fetch(key, name, target, sha256, caller))

    async def stat(self, key: str) -> ObjectInfo | None:
        name = name_of(key)
        return await self._run(lambda _: self._stat(key, name))

    async def touch(self, key: str) -> bool:
        name = name_of(key)
        return await self._run(lambda _: self._touch(key, name))

    async def delete(self, key: str) -> bool:
        name = name_of(key)
        return await self._run(lambda _: self._delete(key, name))

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Asks for each object, as no server's list has the metadata: 1,000 objects are 1,001 requests."""
        if not begins_keys(prefix):
            return
        entries: Iterator[Object] = self._client.list_objects(self._bucket, prefix=prefix, recursive=True)
        while page := await self._run(lambda _: self._page(entries)):
            keys = [key for name in page if (key := key_of(name))]
            for start in range(0, len(keys), _TOGETHER):
                for info in await asyncio.gather(*map(self.stat, keys[start : start + _TOGETHER])):
                    if info is not None:
                        yield info

    async def _run(self, work: Callable[[Caller], T], threads: Threads | None = None) -> T:
        try:
            return await (threads or self._threads).run(work)
        except GivenUp as error:
            raise ObjectsUnavailable(f"{self._place} is being closed") from error

    def _open(self) -> None:
        with told(self._place):
            if not self._client.bucket_exists(self._bucket):
                self._make_bucket()
            self._client.put_object(self._bucket, _TRIAL, BytesIO(), 0)
            try:
                sweep_uploads(self._client, self._bucket, before=datetime.now(UTC) - _ABANDONED)
            except S3Error as error:  # a hindrance to tidiness alone
                _log.warning("%s does not let abandoned uploads be looked for: %s", self._place, error.code)

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code not in _MADE_BY_ANOTHER:
                raise

    def _ping(self) -> None:
        with told(self._place):
            there = self._probe.client.bucket_exists(self._bucket)
        if not there:
            raise ObjectsUnavailable(f"{self._place} has no such bucket; a service makes it when it starts")

    def _put(self, key: str, name: str, content: bytes | Path, caller: Caller) -> ObjectInfo:
        with told(self._place, key), _opened(content) as source:
            digest = hashlib.sha256()
            size = 0
            for chunk in caller.watch(chunks_in(source)):
                digest.update(chunk)
                size += len(chunk)
            source.seek(0)
            sha256 = digest.hexdigest()
            stored = self._client.put_object(
                self._bucket,
                name,
                cast("BinaryIO", _Upload(source, caller)),
                size,
                metadata={_HASH: sha256},
                part_size=PART,
                num_parallel_uploads=1,  # on this thread, one part after the other
            )
        # CompleteMultipartUpload may fail with status 200, which the SDK takes for success.
        if not stored.etag:
            raise ObjectsUnavailable(f"{self._place} did not confirm the object {key}")
        return ObjectInfo(key, size, sha256, parsedate_to_datetime(stored.http_headers["Date"]))

    def _read(self, key: str, name: str, caller: Caller) -> bytes:
        def read() -> bytes:
            with self._got(key, name, caller) as (info, chunks):
                content = b"".join(chunks)
            check_hash(key, hashlib.sha256(content).hexdigest(), info.sha256)
            return content

        with told(self._place, key):
            return _once_more(read)

    def _fetch(self, key: str, name: str, target: Path, sha256: str | None, caller: Caller) -> ObjectInfo:
        def fetch() -> ObjectInfo:
            with self._got(key, name, caller) as (info, chunks):
                check_asked(key, info.sha256, sha256)
                write_verified(key, chunks, target, info.sha256)
            return info

        with told(self._place, key):
            return _once_more(fetch)

    def _stat(self, key: str, name: str) -> ObjectInfo | None:
        try:
            with told(self._place, key):
                return _info(key, self._head(name).metadata)
        except Missing:
            return None

    def _touch(self, key: str, name: str) -> bool:
        """Copies the object onto itself, unless it has been replaced since: then it is new already."""
        try:
            with told(self._place, key):
                found = self._head(name)
                info = _info(key, found.metadata)
                if info is None:
                    return False
                source = CopySource(self._bucket, name, match_etag=found.etag)
                self._copy(name, source, {_HASH: info.sha256})
        except Missing:
            return False
        return True

    def _copy(self, name: str, source: CopySource, metadata: dict[str, Any]) -> None:
        try:
            # Objects beyond 5 GiB are copied in parts.
            self._client.copy_object(self._bucket, name, source, metadata=metadata, metadata_directive=REPLACE)
        except S3Error as error:
            if error.code != "PreconditionFailed":
                raise

    def _delete(self, key: str, name: str) -> bool:
        if self._stat(key, name) is None:
            return False
        with told(self._place, key):
            self._client.remove_object(self._bucket, name)
        return True

    def _page(self, entries: Iterator[Object]) -> Sequence[str]:
        with told(self._place):
            return [entry.object_name or "" for entry in islice(entries, _PAGE)]

    def _head(self, name: str) -> Object:
        return self._client.stat_object(self._bucket, name)

    @contextmanager
    def _got(self, key: str, name: str, caller: Caller) -> Iterator[tuple[ObjectInfo, Iterator[bytes]]]:
        """Begins to read an object: what is known of it, and its content."""
        response = self._client.get_object(self._bucket, name)
        try:
            info = _info(key, response.headers)
            if info is None:
                raise Corrupt(f"the object {key} carries no hash: somebody else has put it there")
            yield info, caller.watch(response.stream(CHUNK, decode_content=False))
        finally:
            response.close()
            response.release_conn()


class _Upload:
    """What the SDK reads an upload from, part by part."""

    def __init__(self, source: IO[bytes], caller: Caller) -> None:
        self._source = source
        self._caller = caller

    def read(self, size: int) -> bytes:
        """Returns at most `size` bytes. Raises `GivenUp`, which aborts the upload."""
        self._caller.check()
        return self._source.read(size)


def _opened(content: bytes | Path) -> IO[bytes]:
    return BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _once_more(work: Callable[[], T]) -> T:
    """Does what a connection that broke off in the middle of an answer has hindered again; urllib3 does not."""
    try:
        return work()
    except ProtocolError:
        return work()


def _info(key: str, headers: Mapping[str, str] | None) -> ObjectInfo | None:
    """Returns what an answer tells of its object; None when it is none of ours."""
    sha256 = (headers or {}).get(_HASH_HEADER, "")
    if headers is None or not _SHA256.fullmatch(sha256):
        return None
    return ObjectInfo(key, int(headers["Content-Length"]), sha256, parsedate_to_datetime(headers["Last-Modified"]))
