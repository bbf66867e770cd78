"""Mailpit, a real mail server, which keeps the mails it takes and tells of them over HTTP."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final, Literal

import httpx2

from tests.servers.cache import built
from tests.servers.processes import PATIENCE_SECONDS, Server, free_port

VERSION: Final = "1.27.11"

USERNAME: Final = "cloudserve"
PASSWORD: Final = "correct-horse-battery"


class Mailpit(Server):
    """A mail server on `port` of loopback, in a folder of its own; `mails` and the others read back what it took.

    It is what `security` says: TLS from the first byte, STARTTLS before all else, or neither. With `signing_in`, it
    takes mail of `USERNAME` with `PASSWORD` alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        security: Literal["starttls", "tls", "none"],
        certificate: tuple[Path, Path] | None = None,
        signing_in: bool = False,
    ) -> None:
        web = free_port()
        port = free_port()
        command: list[str | Path] = [_program(), "--smtp", f"127.0.0.1:{port}", "--listen", f"127.0.0.1:{web}"]
        command += ["--database", folder / "mails.db", "--disable-version-check", "--enable-chaos"]
        if certificate is not None:
            command += ["--smtp-tls-cert", certificate[0], "--smtp-tls-key", certificate[1]]
            command += ["--smtp-require-tls" if security == "tls" else "--smtp-require-starttls"]
        if signing_in:
            users = folder / "users"
            users.write_text(f"{USERNAME}:{PASSWORD}\n")
            command += ["--smtp-auth-file", users]
        super().__init__(command, port=port, log=folder / "log")
        transport = httpx2.HTTPTransport(retries=5)  # it listens for mail first
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{web}/api/v1", transport=transport, timeout=10)

    def close(self) -> None:
        """Ends the server, and what was opened to ask it."""
        self.stop()
        self._http.close()

    def mails(self) -> list[dict[str, Any]]:
        """Returns the mails it took as it reads them, newest first: From, To, Subject, Text, HTML, …"""
        return [self._get(f"/message/{one['ID']}") for one in self._get("/messages")["messages"]]

    def headers(self, mail: dict[str, Any]) -> dict[str, list[str]]:
        """Returns the headers of a mail."""
        found: dict[str, list[str]] = self._get(f"/message/{mail['ID']}/headers")
        return found

    def only_mail(self) -> dict[str, Any]:
        """Returns the one mail that it has taken."""
        [mail] = self.mails()
        return mail

    def wait_for(self, subject: str) -> dict[str, Any]:
        """Returns the newest mail of a subject, when it has come."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            for mail in self.mails():
                if mail["Subject"] == subject:
                    return mail
            time.sleep(0.02)
        raise AssertionError(f"no mail {subject!r} has come")

    def forget(self) -> None:
        """Deletes all mails, and ends what `refuse` began."""
        self._http.delete("/messages").raise_for_status()
        self._http.put("/chaos", json={}).raise_for_status()

    def refuse(self, stage: Literal["Authentication", "Sender", "Recipient"], code: int) -> None:
        """Makes it answer every try with an error from now on."""
        self._http.put("/chaos", json={stage: {"ErrorCode": code, "Probability": 100}}).raise_for_status()

    def _get(self, path: str) -> Any:
        response = self._http.get(path)
        response.raise_for_status()
        return response.json()


def why_not() -> str | None:
    """Returns why no server can be started here; None when one can, and in CI, where it must."""
    if shutil.which("go") or os.environ.get("CI") == "true":
        return None
    return "go is missing, which compiles the mail server of these tests: install it"


def _program() -> Path:
    return built("mailpit", VERSION, _install) / "mailpit"


def _install(folder: Path) -> None:
    # Go checks the module against its checksum database, and what it depends on against the module's own go.sum.
    environment = os.environ | {"GOBIN": str(folder), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    command = ["nice", "go", "install", f"github.com/axllent/mailpit@v{VERSION}"]
    subprocess.run(command, env=environment, check=True)
