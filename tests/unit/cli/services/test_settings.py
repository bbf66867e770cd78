"""A service's settings: where they come from, and what is said of those that can't be used."""

import base64
import os
from pathlib import Path

import pytest

from cloudserve.cli.services.faults import UnusableSettings
from cloudserve.cli.services.settings import Configuration, Role, mistyped
from cloudserve.core.auth.tokens import new_api_key

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with a data folder and nothing else."""
    for name in [name for name in os.environ if name.startswith("CLOUDSERVE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CLOUDSERVE_DATA_DIR", str(tmp_path))
    return monkeypatch


def faults(role: Role) -> dict[str, str]:
    """Returns what is wrong, by setting."""
    with pytest.raises(UnusableSettings) as raised:
        Configuration.load(role)
    assert raised.value.exit_code == 2
    return {fault["setting"]: fault["message"] for fault in raised.value.details["settings"]}


def test_a_data_folder_is_all_that_a_service_needs() -> None:
    """Its keys are made there, as for the embedded platform."""
    configuration = Configuration.load("all")
    assert configuration.credentials() == configuration.credentials()
    assert (configuration.settings.port, configuration.service.metrics_port) == (7700, 7703)


def test_every_fault_is_told_at_once(environment: pytest.MonkeyPatch) -> None:
    """From whichever model it comes, each with its remedy."""
    environment.setenv("CLOUDSERVE_PORT", "70000")
    environment.setenv("CLOUDSERVE_SMTP_SECURITY", "none at all")
    environment.setenv("CLOUDSERVE_PROCESSES", "0")
    environment.delenv("CLOUDSERVE_DATA_DIR")
    with pytest.raises(UnusableSettings) as raised:
        Configuration.load("api")
    assert [note.partition(":")[0] for note in raised.value.notes] == [
        "- CLOUDSERVE_DATA_DIR",
        "- CLOUDSERVE_PORT",
        "- CLOUDSERVE_SMTP_SECURITY",
        "- CLOUDSERVE_PROCESSES",
    ]
    assert all("Remedy: " in note for note in raised.value.notes)


def test_a_secret_is_read_from_its_mounted_file(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    """And the environment wins over it."""
    machine_key = new_api_key()
    (tmp_path / "cloudserve_secrets_key").write_text(KEY + "\n")
    (tmp_path / "cloudserve_machine_key").write_text(new_api_key())
    environment.setenv("CLOUDSERVE_SECRETS_DIR", str(tmp_path))
    environment.setenv("CLOUDSERVE_MACHINE_KEY", machine_key)
    credentials = Configuration.load("api").credentials()
    assert (credentials.secrets_key, credentials.machine_key) == (bytes(range(32)), machine_key)
    assert not (tmp_path / "credentials").exists()


def test_services_over_one_store_must_share_a_key(environment: pytest.MonkeyPatch) -> None:
    """Else each would seal with its own; a gateway needs no machine key, and gets one that nobody has."""
    environment.setenv("CLOUDSERVE_STORE_URL", "mongodb://db:27017")
    assert faults("gateway").keys() == {"secrets_key"}
    environment.setenv("CLOUDSERVE_SECRETS_KEY", KEY)
    assert faults("api").keys() == {"machine_key"}
    gateway = Configuration.load("gateway")
    assert gateway.credentials().secrets_key == bytes(range(32))
    assert gateway.credentials().machine_key != gateway.credentials().machine_key


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("secrets_key", "c2hvcnQ=", "it has 5 bytes instead of 32"),
        ("secrets_key", "a", "it is not URL-safe base 64"),
        ("machine_key", "csk_short", "it is not `csk_` followed by 43 letters"),
        ("tls_dir", "/nowhere", "/nowhere has no ca.crt, tls.crt, tls.key"),
        ("store_url", "postgres://db", "is no MongoDB URL"),
        (
            "s3_endpoint",
            "minio:9000",
            "it is no URL of a server: write http://host[:port] or https://host[:port], and no path",
        ),
        ("s3_region", "", "it is no region: use letters, digits and '-'; a server that has none takes us-east-1"),
        (
            "s3_bucket",
            "Things",
            "it is no bucket's name: use 3 to 63 lower-case letters, digits, '.' and '-'",
        ),
        ("secrets_dir", "/nowhere", "/nowhere is not a folder"),
    ],
)
def test_a_value_that_cannot_be_used_is_told(
    environment: pytest.MonkeyPatch, setting: str, value: str, message: str
) -> None:
    """By its setting."""
    environment.setenv(f"CLOUDSERVE_{setting.upper()}", value)
    assert faults("gateway")[setting] == message


def test_no_secret_is_in_a_message(environment: pytest.MonkeyPatch) -> None:
    """Not even one that is malformed."""
    environment.setenv("CLOUDSERVE_MACHINE_KEY", "csk_hunter2")
    environment.setenv("CLOUDSERVE_STORE_URL", "postgres://me:hunter2@db")
    with pytest.raises(UnusableSettings) as raised:
        Configuration.load("api")
    assert "hunter2" not in f"{raised.value} {raised.value.notes} {raised.value.details}"


def test_a_service_link_of_kubernetes_is_recognised(environment: pytest.MonkeyPatch) -> None:
    """A Service called `cloudserve` sets CLOUDSERVE_PORT in every pod of its namespace."""
    environment.setenv("CLOUDSERVE_PORT", "tcp://10.96.0.12:80")
    with pytest.raises(UnusableSettings) as raised:
        Configuration.load("all")
    assert "enableServiceLinks" in raised.value.notes[0]


def test_what_only_a_gateway_has_is_refused_elsewhere(environment: pytest.MonkeyPatch) -> None:
    """And a gateway with sandboxes needs certificates."""
    environment.setenv("CLOUDSERVE_SANDBOXES", "dns:sandboxes.example:7702,[::1]:7702,10.0.0.1:7702")
    assert faults("all").keys() == {"sandboxes"}
    assert faults("gateway").keys() == {"tls_dir"}


def test_a_sandbox_takes_no_credentials_of_the_stores(environment: pytest.MonkeyPatch) -> None:
    """Whatever runs there must find none."""
    environment.setenv("CLOUDSERVE_STORE_URL", "mongodb://db:27017")
    environment.setenv("CLOUDSERVE_SECRETS_KEY", KEY)
    environment.setenv("CLOUDSERVE_HOST", "0.0.0.0")
    assert faults("sandbox").keys() == {"store_url", "secrets_key", "tls_dir"}


def test_loopback_alone_needs_no_certificates(environment: pytest.MonkeyPatch) -> None:
    """For development."""
    Configuration.load("sandbox")
    environment.setenv("CLOUDSERVE_SANDBOXES", "127.0.0.1:7710,[::1]:7711,localhost:7712")
    assert Configuration.load("gateway").service.tls() is None


def test_a_sandbox_is_one_process(environment: pytest.MonkeyPatch) -> None:
    """Connections of one gateway have to reach the same workers."""
    environment.setenv("CLOUDSERVE_PROCESSES", "2")
    assert faults("sandbox").keys() == {"processes"}


def test_members_that_cannot_be_read_are_told(environment: pytest.MonkeyPatch) -> None:
    """By the one that is wrong."""
    environment.setenv("CLOUDSERVE_SANDBOXES", "one:7710,two")
    assert "'two'" in faults("gateway")["sandboxes"]


def test_processes_share_the_workers_of_their_host(environment: pytest.MonkeyPatch) -> None:
    """`max_workers` is the host's, however many they are."""
    environment.setenv("CLOUDSERVE_MAX_WORKERS", "10")
    environment.setenv("CLOUDSERVE_PROCESSES", "4")
    assert Configuration.load("all").settings.max_workers == 2


def test_mail_that_could_not_be_sent_is_told_at_once(environment: pytest.MonkeyPatch) -> None:
    """By the setting at fault: whom it is from, and a connection that anyone could read."""
    environment.setenv("CLOUDSERVE_SMTP_HOST", "mail.example.org")
    assert list(faults("api")) == ["mail_from"]
    environment.setenv("CLOUDSERVE_MAIL_FROM", "CloudServe <no-reply@example.org>")
    Configuration.load("api")
    environment.setenv("CLOUDSERVE_SMTP_SECURITY", "none")
    assert list(faults("api")) == ["smtp_security"]
    environment.setenv("CLOUDSERVE_SMTP_UNSAFE_PLAINTEXT", "true")
    Configuration.load("api")
    environment.setenv("CLOUDSERVE_SMTP_USERNAME", "ann")
    assert list(faults("api")) == ["smtp_password"]


def test_a_mistyped_variable_is_noticed() -> None:
    """One that is nothing like a setting is somebody else's."""
    names = [
        "CLOUDSERVE_STORE_URI",
        "CLOUDSERVE_API_KEY",
        "CLOUDSERVE_STORE_URL",
        "CLOUDSERVE_PORT_80_TCP_ADDR",
        "HOME",
    ]
    assert mistyped(names) == {"CLOUDSERVE_STORE_URI": "CLOUDSERVE_STORE_URL"}
