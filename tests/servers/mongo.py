"""A server with MongoDB's wire protocol: mongo-java-server, with a file that each confirmed write is in.

It has no sessions, transactions, updates by pipeline, replica sets, users or expiry of documents, which is why no test
needs them. A real mongod can be given instead: `CLOUDSERVE_TEST_MONGODB_URL`.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.servers.cache import built
from tests.servers.processes import Server, free_port

REAL_URL: Final = "CLOUDSERVE_TEST_MONGODB_URL"
_SOURCES: Final = Path(__file__).with_name("mongo")
_BUILD_SECONDS: Final = 540


class MongoServer(Server):
    """A server whose data is in `folder`, and stays there when it is stopped, killed and started again."""

    def __init__(self, folder: Path) -> None:
        program = built("wire-server", _version(), _build)
        port = free_port()
        self.url = f"mongodb://127.0.0.1:{port}"
        java = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{program}/*:{program}"]
        super().__init__([*java, "WireServer", str(port), folder / "data.mv"], port=port, log=folder / "mongo.log")


def why_not() -> str | None:
    """Returns why no server can be started here; None when one can, and in CI, where it must."""
    missing = [program for program in ("java", "javac", "mvn") if shutil.which(program) is None]
    if not missing or os.environ.get("CI") == "true":
        return None
    return f"{', '.join(missing)} missing: install a JDK and Maven, or name a mongod in {REAL_URL}"


def _version() -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_SOURCES.iterdir()))).hexdigest()[:16]


def _build(folder: Path) -> None:
    pom, source = _SOURCES / "pom.xml", _SOURCES / "WireServer.java"
    fetch = ["mvn", "-q", "-B", "--strict-checksums", "-f", pom, "dependency:copy-dependencies"]
    _run([*fetch, f"-DoutputDirectory={folder}"])
    _run(["javac", "-cp", f"{folder}/*", "-d", folder, source])


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
