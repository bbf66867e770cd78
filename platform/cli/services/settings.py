"""The settings of a service: the platform's, where its servers are, and what only services of their own have.

Each is a variable of the environment or, those of `Connections` and `ServiceSettings`, a file of that name in lower
case in the folder that `CLOUDSERVE_SECRETS_DIR` names (`core.connections`). A service looks at all of them before it
does anything: whatever is wrong is told at once, and nothing was started.
"""

import base64
import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cloudserve.cli.services.faults import Fault, UnusableSettings, faults_of
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.sealing import KEY_BYTES
from cloudserve.core.auth.tokens import KEY_PATTERN, new_api_key
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.connections import SECRETS_DIR, Connections
from cloudserve.core.mail import UnusableMailer
from cloudserve.core.opening import mailer_of
from cloudserve.sandbox.remote.members import parse
from cloudserve.sandbox.remote.tls import TlsFiles

Role = Literal["api", "gateway", "sandbox", "all"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)

TLS_FILES: Final = ("ca.crt", "tls.crt", "tls.key")

_OF_THE_CLIENT: Final = "CLOUDSERVE_API_KEY"


class ServiceSettings(BaseSettings):
    """What a service has beside the platform's settings and its connections."""

    model_config = SettingsConfigDict(env_prefix="CLOUDSERVE_", frozen=True)

    sandbox_port: int = Field(7710, ge=0, le=65535, description="The port a sandbox takes calls on.")
    metrics_host: str = Field("127.0.0.1", description="The address of the internal port; never a public one.")
    metrics_port: int = Field(7703, ge=0, le=65535, description="The internal port: metrics, and the probes again.")
    processes: int = Field(1, ge=1, le=64, description="Processes of the service on this host, on the same ports.")
    grace_seconds: float = Field(30, ge=0, le=3600, description="How long what has begun may go on after SIGTERM.")
    sandboxes: str = Field(
        "", description="A gateway's sandboxes, `host:port,…` or `dns:name:port`; empty for workers on its own host."
    )
    tls_dir: Path | None = Field(
        None, description="The folder with `ca.crt`, `tls.crt` and `tls.key`, between gateways and sandboxes."
    )
    secrets_key: SecretStr = Field(
        SecretStr(""), description="What seals functions' secrets: 32 bytes in URL-safe base 64, the same everywhere."
    )
    machine_key: SecretStr = Field(
        SecretStr(""), description="The key the infrastructure program signs in with, `csk_` and 43 letters."
    )

    @field_validator("sandboxes")
    @classmethod
    def _are_members(cls, value: str) -> str:
        if value:
            parse(value)
        return value

    @field_validator("tls_dir")
    @classmethod
    def _has_files(cls, value: Path | None) -> Path | None:
        missing = [name for name in TLS_FILES if value is not None and not (value / name).is_file()]
        if missing:
            raise ValueError(f"{value} has no {', '.join(missing)}")
        return value

    @field_validator("secrets_key")
    @classmethod
    def _opens(cls, value: SecretStr) -> SecretStr:
        try:
            size = len(base64.urlsafe_b64decode(value.get_secret_value()))
        except ValueError:
            raise ValueError("it is not URL-safe base 64") from None
        if size not in (0, KEY_BYTES):
            raise ValueError(f"it has {size} bytes instead of {KEY_BYTES}")
        return value

    @field_validator("machine_key")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not re.fullmatch(KEY_PATTERN, value.get_secret_value()):
            raise ValueError("it is not `csk_` followed by 43 letters")
        return value

    def tls(self) -> TlsFiles | None:
        """Returns the certificates between gateways and sandboxes, None where there are none."""
        if self.tls_dir is None:
            return None
        ca, certificate, key = (self.tls_dir / name for name in TLS_FILES)
        return TlsFiles(ca, certificate, key)

    @classmethod
    def load(cls) -> "ServiceSettings":
        """Reads the environment and the secret files. Raises pydantic's ValidationError, which names what is wrong."""
        folder = os.environ.get(SECRETS_DIR)
        return cls(_secrets_dir=Path(folder) if folder else None)  # pydantic's own argument


@dataclass(frozen=True, slots=True)
class Configuration:
    """All settings of one service, checked."""

    role: Role
    settings: Settings
    connections: Connections
    service: ServiceSettings

    @property
    def folder(self) -> DataFolder:
        """The data folder."""
        return DataFolder(self.settings.data_dir)

    @property
    def runs_workers(self) -> bool:
        """Tells whether functions, or their builds, run on this host, which then needs walls."""
        return self.role != "gateway" or not self.service.sandboxes

    def credentials(self) -> Credentials:
        """Returns the shared keys, or else those in the data folder, where one host keeps everything."""
        given = self.service
        if not given.secrets_key.get_secret_value():
            return Credentials.load_or_create(self.folder.credentials)
        return Credentials(
            secrets_key=base64.urlsafe_b64decode(given.secrets_key.get_secret_value()),
            # A gateway is given none, and never asks for one: what nobody knows opens nothing.
            machine_key=given.machine_key.get_secret_value() or new_api_key(),
        )

    @classmethod
    def load(cls, role: Role) -> "Configuration":
        """Reads and checks all settings. Raises `UnusableSettings`, which names each that is wrong."""
        faults = _folder_faults()
        parts: dict[str, Any] = {}
        loaders: dict[str, Any] = {
            "settings": Settings.load,
            "connections": lambda: Connections() if faults else Connections.load(),
            "service": lambda: ServiceSettings() if faults else ServiceSettings.load(),
        }
        found: list[Fault] = [*faults]
        for name, load in loaders.items():
            try:
                parts[name] = load()
            except ValidationError as error:
                found += faults_of(error)
            except OSError as error:
                message = f"{error.filename} can't be read ({error.strerror})"
                found.append(Fault("secrets_dir", message, "Let this user read it."))
        if not found:
            configuration = cls(role, **parts)
            found += _role_faults(configuration)
        if found:
            raise UnusableSettings(role, found)
        return configuration._shared_out()

    def _shared_out(self) -> "Configuration":
        """Returns what each of several processes gets: what the host has room for, they have together."""
        share = max(1, self.settings.max_workers // self.service.processes)
        return replace(self, settings=self.settings.model_copy(update={"max_workers": share}))


def _folder_faults() -> list[Fault]:
    folder = os.environ.get(SECRETS_DIR)
    if not folder or Path(folder).is_dir():
        return []
    return [Fault("secrets_dir", f"{folder} is not a folder", "Mount the secrets there, or leave it unset.")]


def _role_faults(found: Configuration) -> list[Fault]:
    """Returns what is wrong with settings that are right each for itself."""
    service, connections = found.service, found.connections
    given = {
        "store_url": connections.store_url,
        "s3_access_key": connections.s3_access_key,
        "s3_secret_key": connections.s3_secret_key,
        "smtp_password": connections.smtp_password,
        "secrets_key": service.secrets_key,
        "machine_key": service.machine_key,
    }
    held = [name for name, value in given.items() if value.get_secret_value()]
    if found.role == "sandbox":
        faults = [
            Fault(name, "a sandbox runs other people's code and must not hold it", "Leave it unset for sandboxes.")
            for name in held
        ]
        if service.processes > 1:
            why = "a gateway's connections with a sandbox have to reach the same workers"
            remedy = "Leave it 1, or run several sandboxes on ports of their own."
            faults.append(Fault("processes", why, remedy))
        if not _is_loopback(found.settings.host):
            faults += _tls_faults(service)
        return faults
    faults = _connection_faults(connections)
    if service.sandboxes and found.role == "gateway":
        listed, names = parse(service.sandboxes)
        if names or not all(_is_loopback(address.host) for address in listed):
            faults += _tls_faults(service)
    elif service.sandboxes:
        faults.append(Fault("sandboxes", f"only a gateway has sandboxes, not {found.role}", "Leave it unset here."))
    if connections.store_url.get_secret_value() and not service.secrets_key.get_secret_value():
        faults.append(
            Fault(
                "secrets_key",
                "is missing: services over one store must seal and open with one key",
                "Make one with `openssl rand -base64 32 | tr '+/' '-_'` and give it to every api and gateway.",
            )
        )
    if (
        service.secrets_key.get_secret_value()
        and not service.machine_key.get_secret_value()
        and found.role != "gateway"
    ):
        faults.append(
            Fault(
                "machine_key",
                "is missing beside secrets_key",
                "Make one with `echo csk_$(openssl rand -base64 32 | tr '+/' '-_' | tr -d =)`.",
            )
        )
    return faults


def _connection_faults(connections: Connections) -> list[Fault]:
    faults = []
    store_url = connections.store_url.get_secret_value()
    if store_url and not store_url.startswith(("mongodb://", "mongodb+srv://")):
        faults.append(Fault("store_url", "is no MongoDB URL", "Write it like mongodb://host:27017."))
    faults += [
        Fault(name, "is missing beside s3_endpoint", "Set it to a key of the object store.")
        for name in ("s3_access_key", "s3_secret_key")
        if connections.s3_endpoint and not getattr(connections, name).get_secret_value()
    ]
    try:
        mailer_of(connections)
    except UnusableMailer as error:
        setting = "mail_from" if error.argument == "sender" else f"smtp_{error.argument}"
        faults.append(Fault(setting, error.message, error.remedy))
    return faults


def _tls_faults(service: ServiceSettings) -> list[Fault]:
    if service.tls_dir is not None:
        return []
    why = "is missing: gateways and sandboxes on other hosts have to prove who they are"
    return [Fault("tls_dir", why, f"Name the folder with {', '.join(TLS_FILES)} (docs/sandbox-hosts.md).")]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def mistyped(names: Iterable[str]) -> dict[str, str]:
    """Returns the variables that are no setting but nearly one, each with the setting that may have been meant."""
    models = (Settings, Connections, ServiceSettings)
    known = {f"CLOUDSERVE_{field}".upper() for model in models for field in model.model_fields} | {SECRETS_DIR}
    unknown = [name for name in names if name.startswith("CLOUDSERVE_") and name not in known | {_OF_THE_CLIENT}]
    found = {name: difflib.get_close_matches(name, known, n=1, cutoff=0.85) for name in unknown}
    return {name: nearest[0] for name, nearest in found.items() if nearest}
