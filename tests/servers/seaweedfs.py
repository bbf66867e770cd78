"""SeaweedFS, as one process: master, volume server, filer and S3 gateway."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.servers.cache import built
from tests.servers.processes import free_port
from tests.servers.s3 import S3Server

REQUIREMENTS = Path(__file__).with_name("seaweedfs.txt")
VERSION = "4.48"


class SeaweedServer(S3Server):
    """A SeaweedFS server with one user."""

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        port = free_port()
        data = folder / "data"
        data.mkdir()
        config = folder / "s3.json"
        user = {
            "name": "tests",
            "credentials": [{"accessKey": cls.access_key, "secretKey": cls.secret_key}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        config.write_text(json.dumps({"identities": [user]}), "utf-8")
        roles = ("master", "volume", "filer", "s3")
        ports = [f"-{role}.port.grpc={free_port()}" for role in roles]
        ports += [f"-{role}.port={free_port()}" for role in roles[:-1]]
        command = [
            *(_program(), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}"),
            *("-s3", f"-s3.port={port}", f"-s3.config={config}", *ports),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
            *("-volume.max=2000", "-master.volumeSizeLimitMB=256"),  # each bucket takes seven volumes
            # Its only master need not wait for others to be elected.
            *("-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms"),
        ]
        return cls(command, port=port, log=folder / "seaweedfs.log")


def _program() -> Path:
    return next(built("seaweedfs", VERSION, _install).rglob("weed"))


def _install(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    subprocess.run([*command, "--target", folder, "--requirement", REQUIREMENTS], check=True)
