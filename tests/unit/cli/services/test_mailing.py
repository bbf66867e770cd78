"""A service as a process sends mail with what its environment and its mounted files say."""

from pathlib import Path

import httpx2
import pytest

from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.config import DataFolder
from tests.servers.certificates import Authority
from tests.servers.smtp import PASSWORD, USERNAME, Mailpit, why_not
from tests.unit.cli.services.running import PATIENCE_SECONDS, Running

pytestmark = [pytest.mark.full, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

ROOT = {"email": "root@example.com", "userName": "admin", "fullName": "Root", "password": "correct horse 9 battery"}


def test_mail_goes_over_starttls_with_a_mounted_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a server whose authority `SSL_CERT_FILE` names. The administrator's trial tells what the server says."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "cloudserve_smtp_password").write_text(PASSWORD + "\n")
    server = Mailpit(tmp_path, security="starttls", certificate=authority.issue("localhost"), signing_in=True)
    server.start()
    log, data = tmp_path / "api.log", tmp_path / "data"
    settings = {
        "secrets_dir": secrets,
        "smtp_host": "localhost",
        "smtp_port": server.port,
        "smtp_username": USERNAME,
        "mail_from": "CloudServe <no-reply@example.org>",
    }
    try:
        with Running("api", data, log, **settings) as api, _client(api.ready(), data) as http:
            assert http.get("/api/platform").json()["mail"] is True
            key = http.post("/api/admin/administrator", json=ROOT).json()["apiKey"]
            answer = _tried(http, key)
            assert answer.status_code == 200, answer.text
            assert server.only_mail()["From"]["Name"] == "CloudServe"
            server.refuse("Recipient", 550)
            answer = _tried(http, key)
            assert (answer.status_code, answer.json()["reason"]) == (502, "mail-failed")
            assert "550" in answer.json()["message"]
            assert api.end() == 0
    finally:
        server.close()
    assert PASSWORD not in log.read_text()


def _client(api: Running, data: Path) -> httpx2.Client:
    machine_key = Credentials.load_or_create(DataFolder(data).credentials).machine_key
    return httpx2.Client(
        base_url=api.url("platform"), headers={"api-key": machine_key}, trust_env=False, timeout=PATIENCE_SECONDS
    )


def _tried(http: httpx2.Client, key: str) -> httpx2.Response:
    return http.post("/api/admin/mail/test", headers={"api-key": key}, json={"email": "root@example.com"})
