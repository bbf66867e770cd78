"""A Docker engine for the container's tier: the one that runs, or else one of the tests' own, which ends with them.

There is no image to pull: the base is an empty one with the few files of /etc that programs look for; programs and
libraries are the host's, mounted read-only.
"""

import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IMAGE = "cloudserve-empty"

_START_SECONDS = 30
_FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nordinary:x:12345:12345::/tmp:/bin/sh\n",
    "etc/group": b"root:x:0:\nordinary:x:12345:\n",
    "etc/shadow": b"root:$6$secret:19000:0:99999:7:::\n",
    "etc/nsswitch.conf": b"hosts: files dns\n",
    "etc/hosts": b"127.0.0.1 localhost\n::1 localhost\n",
    "root/.profile": b"# the administrator's own\n",
}
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


@dataclass(frozen=True)
class Engine:
    """A running engine, and the command that speaks to it."""

    command: tuple[str, ...]

    def run(self, *arguments: str, data: bytes | None = None) -> str:
        """Runs a docker command and returns what it prints. Raises CalledProcessError."""
        done = subprocess.run([*self.command, *arguments], input=data, capture_output=True, check=True)
        return done.stdout.decode().strip()


def missing() -> str | None:
    """Says what is missing here for an engine, if anything."""
    if shutil.which("docker") is None:
        return "there is no docker command (Debian: apt-get install docker.io iptables)"
    if not _runs(("docker",)) and (os.geteuid() != 0 or shutil.which("dockerd") is None):
        return "no Docker engine runs, and none can be started without dockerd and root"
    return None


@contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """An engine with the empty image."""
    engine = Engine(("docker",))
    daemon: subprocess.Popen[bytes] | None = None
    if not _runs(engine.command):
        socket = f"unix://{folder}/docker.sock"
        engine = Engine(("docker", "-H", socket))
        daemon = _start(folder, socket)
    try:
        _await(engine)
        engine.run("import", "-", IMAGE, data=_base())
        yield engine
    finally:
        if daemon is not None:
            daemon.terminate()
            daemon.wait(_START_SECONDS)


def _runs(command: tuple[str, ...]) -> bool:
    return subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0


def _start(folder: Path, socket: str) -> subprocess.Popen[bytes]:
    """Starts an engine that shares nothing with another one, the network included."""
    with (folder / "dockerd.log").open("wb") as log:
        return subprocess.Popen(
            [
                "dockerd",
                f"--host={socket}",
                f"--data-root={folder}/data",
                f"--exec-root={folder}/exec",
                f"--pidfile={folder}/dockerd.pid",
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _await(engine: Engine) -> None:
    ends_at = time.monotonic() + _START_SECONDS
    while not _runs(engine.command):
        if time.monotonic() > ends_at:
            raise TimeoutError(f"the Docker engine did not start; see dockerd.log ({' '.join(engine.command)})")
        time.sleep(0.1)


def _base() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("usr", "etc", "root", "tmp", "proc", "dev", "sys", "run", "var", "var/tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder.endswith("tmp") else 0o755
            tar.addfile(entry)
        for name, target in _LINKS.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for name, content in {**_FILES, "etc/ld.so.cache": Path("/etc/ld.so.cache").read_bytes()}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600 if "shadow" in name else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
