"""What S3 servers of tests have in common: they are ready when objects can be put, and give access to buckets."""

import atexit
import functools
import io
import json
import shutil
import tempfile
import time
import uuid
from abc import abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

from minio import Minio
from minio.error import MinioException
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from cloudserve.core.objects.minio import S3Objects
from tests.servers.processes import PATIENCE_SECONDS, Server

S = TypeVar("S", bound="S3Server")


@dataclass(frozen=True)
class S3Access:
    """What opens a bucket."""

    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str

    def objects(self) -> S3Objects:
        """Returns one more way to the objects in the bucket, not opened yet."""
        return S3Objects(**asdict(self))

    def client(self) -> Minio:
        """Returns the SDK's client, for what a test does behind the contract's back."""
        scheme, _, host = self.endpoint.partition("://")
        http = PoolManager(timeout=Timeout(connect=5, read=30), retries=Retry(total=0))
        return Minio(
            host, self.access_key, self.secret_key, secure=scheme == "https", region=self.region, http_client=http
        )

    def to(self, bucket: str) -> "S3Access":
        """Returns what opens another bucket of the same server."""
        return replace(self, bucket=bucket)

    def save(self, file: Path) -> None:
        """Writes it for another process, which is told no secret on its command line."""
        file.touch(0o600)
        file.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def load(cls, file: Path) -> "S3Access":
        """Reads what `save` wrote."""
        return cls(**json.loads(file.read_text("utf-8")))


class S3Server(Server):
    """An S3 server that keeps its data in a folder."""

    scheme = "http"
    access_key = "cloudserve-tests"
    secret_key = "only-for-tests-on-loopback"

    @classmethod
    @abstractmethod
    def in_folder(cls, folder: Path) -> Self:
        """Returns a server on a free port, not started yet."""

    def access(self, bucket: str | None = None) -> S3Access:
        """Returns what opens a bucket with all rights; by default one that is not there yet."""
        endpoint = f"{self.scheme}://127.0.0.1:{self.port}"
        return S3Access(endpoint, bucket or a_bucket(), "us-east-1", self.access_key, self.secret_key)

    def start(self) -> Self:
        """Starts the server. Returns when an object could be put."""
        super().start()
        until = time.monotonic() + PATIENCE_SECONDS
        access = self.access("ready")
        client = access.client()
        while True:
            try:
                if not client.bucket_exists(access.bucket):
                    client.make_bucket(access.bucket)
                client.put_object(access.bucket, "ready", io.BytesIO(b"ready"), 5)
            except (MinioException, HTTPError):
                if time.monotonic() > until:
                    self.kill()
                    raise
                time.sleep(0.1)
            else:
                return self


def a_bucket() -> str:
    """Returns a name that no bucket has."""
    return f"test-{uuid.uuid4().hex[:12]}"


@functools.cache
def shared(kind: type[S]) -> S:
    """Returns a server that this process's tests share; each takes a bucket of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cloudserve-s3-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server = kind.in_folder(folder)
    atexit.register(server.kill)
    return server.start()
