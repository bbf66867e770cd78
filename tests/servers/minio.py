"""The real MinIO server, compiled from its pinned source once."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Self

from minio import MinioAdmin
from minio.credentials import StaticProvider

from tests.servers.cache import built, require
from tests.servers.processes import free_port
from tests.servers.s3 import S3Access, S3Server

VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"  # the newest before the project was archived

PAGE = Path(__file__).parents[2] / "docs" / "object-store.md"


class MinioServer(S3Server):
    """A MinIO server, which also makes users of few rights.

    It serves TLS when the folder has a `certs` with `public.crt` and `private.key`.
    """

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        port = free_port()
        program = built("minio", VERSION, _install) / "minio"
        certificates = folder / "certs"
        options = ["--address", f"127.0.0.1:{port}", "--certs-dir", certificates, "--quiet"]
        environment = {
            "MINIO_ROOT_USER": cls.access_key,
            "MINIO_ROOT_PASSWORD": cls.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        command = [program, "server", *options, folder / "data"]
        server = cls(command, port=port, log=folder / "minio.log", environment=environment)
        server.scheme = "https" if (certificates / "public.crt").exists() else "http"
        return server

    def restricted(self, access: S3Access, policy: dict[str, Any]) -> S3Access:
        """Returns what opens the same bucket as a user that may do what the policy permits, and nothing else."""
        user = S3Access(access.endpoint, access.bucket, access.region, access.bucket, f"secret-of-{access.bucket}")
        credentials = StaticProvider(self.access_key, self.secret_key)
        admin = MinioAdmin(endpoint=f"127.0.0.1:{self.port}", credentials=credentials, secure=False)
        admin.policy_add(user.access_key, policy=policy)
        admin.user_add(user.access_key, user.secret_key)
        admin.attach_policy([user.access_key], user=user.access_key)
        return user


def least_rights(bucket: str) -> dict[str, Any]:
    """Returns the policy that the documentation recommends, for another bucket than `cloudserve`."""
    block = re.search(r"```json\n(.+?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert block is not None
    policy: dict[str, Any] = json.loads(block[1].replace(":::cloudserve", f":::{bucket}"))
    return policy


def _install(folder: Path) -> None:
    require("go", "there is no Go to compile MinIO with")
    # Go checks the module against its checksum database, and what it depends on against the module's own go.sum.
    environment = os.environ | {"GOBIN": str(folder), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    command = ["nice", "go", "install", f"github.com/minio/minio@{VERSION}"]
    subprocess.run(command, env=environment, check=True)
