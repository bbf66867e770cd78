"""The backends that the contract suites run over. A new one needs an entry here and nothing else."""

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Final

from cloudserve.core.objects.abc import Objects
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.abc import Store
from cloudserve.core.store.mongo import MongoStore
from cloudserve.core.store.sqlite import SqliteStore
from tests.servers.minio import MinioServer, least_rights
from tests.servers.s3 import S3Access, a_bucket, shared
from tests.servers.seaweedfs import SeaweedServer

GIVEN_S3_URL: Final = "CLOUDSERVE_TEST_S3_URL"


class StoreBackend(ABC):
    """A place for one store: the backend's name, and the address that another process opens the same store by."""

    name: str

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    def store(self) -> Store:
        """Returns one more way to the store, not opened yet."""


class Sqlite(StoreBackend):
    """A file."""

    name = "sqlite"

    def store(self) -> Store:
        return SqliteStore(Path(self.address))


class Mongo(StoreBackend):
    """A database of a server: the server's URL and the database's name, with a blank between them."""

    name = "mongo"

    def store(self) -> MongoStore:
        url, database = self.address.split()
        return MongoStore(url, database=database)


class ObjectsBackend(ABC):
    """A place for objects: the backend's name, and the address that another process opens the same ones by.

    `full` says whether it needs a real server, so that its tests are not in the quick run.
    """

    name: ClassVar[str]
    full: ClassVar[bool] = False

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    def objects(self) -> Objects:
        """Returns one more way to the objects, not opened yet."""

    @abstractmethod
    def damage(self, key: str) -> None:
        """Changes an object's content behind the contract's back."""


class Folder(ObjectsBackend):
    """A folder of files."""

    name = "folder"

    def objects(self) -> Objects:
        return FilesystemObjects(Path(self.address))

    def damage(self, key: str) -> None:
        file = Path(self.address, f"{key}@")
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


class S3Bucket(ObjectsBackend):
    """A bucket; the address is a file that tells what opens it, and is written by the first who asks."""

    full = True

    def __init__(self, address: str) -> None:
        super().__init__(address)
        file = Path(address)
        if not file.exists():
            self._new_bucket().save(file)
        self.access = S3Access.load(file)

    @abstractmethod
    def _new_bucket(self) -> S3Access:
        """Returns what opens a bucket that nobody has used yet."""

    def objects(self) -> Objects:
        return self.access.objects()

    def damage(self, key: str) -> None:
        client, bucket, name = self.access.client(), self.access.bucket, f"{key}@"
        sha256 = client.stat_object(bucket, name).metadata["x-amz-meta-sha256"]
        response = client.get_object(bucket, name)
        content = response.read()
        response.release_conn()
        content = content[:-1] + bytes([content[-1] ^ 1])
        client.put_object(bucket, name, io.BytesIO(content), len(content), metadata={"sha256": sha256})


class MinioBucket(S3Bucket):
    """A bucket of a real MinIO server, opened by a user with no more rights than the documentation recommends."""

    name = "minio"

    def _new_bucket(self) -> S3Access:
        server = shared(MinioServer)
        access = server.access()
        access.client().make_bucket(access.bucket)
        return server.restricted(access, least_rights(access.bucket))


class SeaweedBucket(S3Bucket):
    """A bucket of a SeaweedFS server, which `open` makes."""

    name = "seaweedfs"

    def _new_bucket(self) -> S3Access:
        return shared(SeaweedServer).access()


class GivenBucket(S3Bucket):
    """A bucket of the server that the environment names, made and left behind by the tests."""

    name = "given"

    def _new_bucket(self) -> S3Access:
        return S3Access(
            os.environ[GIVEN_S3_URL],
            a_bucket(),
            os.environ.get("AWS_REGION", "us-east-1"),
            os.environ["AWS_ACCESS_KEY_ID"],
            os.environ["AWS_SECRET_ACCESS_KEY"],
        )


STORES: Final[dict[str, type[StoreBackend]]] = {backend.name: backend for backend in (Sqlite, Mongo)}
OBJECTS: Final[dict[str, type[ObjectsBackend]]] = {
    backend.name: backend
    for backend in (Folder, MinioBucket, SeaweedBucket, *((GivenBucket,) if GIVEN_S3_URL in os.environ else ()))
}
