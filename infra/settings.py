"""The stack's settings, typed. What is unknown, out of range or a secret in plain text is refused by name.

Pulumi.yaml describes every setting and holds its default; a test compares the two.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

NAMESPACE: Final = "cloudserve"
TARGETS: Final = ("local",)
SIGNUPS: Final = ("open", "invite", "closed")
TIERS: Final = ("A", "B", "C")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class SettingError(pulumi.RunError):
    """A setting that can't be used; the message names it, the bound and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What Pulumi.<stack>.yaml may say; `cloudserve:runPort` is `run_port` here."""

    target: str
    host: str
    port: int
    run_port: int
    url: str
    run_url: str
    data_dir: Path
    keep_data: bool
    signup: str
    google_client_id: str
    admin_email: str
    admin_user_name: str
    session_days: int
    max_body_mb: int
    max_response_mb: int
    max_archive_mb: int
    max_workers: int
    max_processes: int
    max_open_files: int
    max_disk_mb: int
    max_inodes: int
    max_log_kb: int
    idle_seconds: int
    build_timeout_seconds: int
    rate_per_second: int
    rate_burst: int
    retention_days: int
    minimum_tier: str
    unsafe_without_walls: bool
    egress_allow: str
    log_level: str

    @classmethod
    def of_stack(cls) -> "Settings":
        """Reads the settings of the stack that is being deployed. Raises `SettingError`."""
        refuse_unknown(CONFIG.get())
        refuse_plain_secrets(CONFIG.get())
        given = _Reader(pulumi.Config(NAMESPACE))
        host = given.host("host", "127.0.0.1")
        port = given.number("port", 7700, 1, 65535)
        run_port = given.number("runPort", 7701, 1, 65535)
        if port == run_port:
            raise SettingError("cloudserve:port and cloudserve:runPort must differ: they are two origins.")
        loopback = ip_address(host).is_loopback
        named = "localhost" if loopback else host
        return cls(
            target=given.choice("target", "local", TARGETS),
            host=host,
            port=port,
            run_port=run_port,
            url=given.origin("url") or f"http://{named}:{port}",
            run_url=given.origin("runUrl") or f"http://{host}:{run_port}",
            data_dir=given.folder("dataDir") or default_data_dir(pulumi.get_stack()),
            keep_data=given.flag("keepData", True),
            signup=given.choice("signup", "open" if loopback else "closed", SIGNUPS),
            google_client_id=given.text("googleClientId", ""),
            admin_email=given.text("adminEmail", "admin@example.com"),
            admin_user_name=given.text("adminUserName", "admin"),
            session_days=given.number("sessionDays", 14, 1, 365),
            max_body_mb=given.number("maxBodyMb", 10, 1, 1024),
            max_response_mb=given.number("maxResponseMb", 100, 1, 10240),
            max_archive_mb=given.number("maxArchiveMb", 25, 1, 1024),
            max_workers=given.number("maxWorkers", 64, 1, 10_000),
            max_processes=given.number("maxProcesses", 64, 16, 10_000),
            max_open_files=given.number("maxOpenFiles", 1024, 64, 1_048_576),
            max_disk_mb=given.number("maxDiskMb", 64, 1, 1_048_576),
            max_inodes=given.number("maxInodes", 8192, 64, 100_000_000),
            max_log_kb=given.number("maxLogKb", 256, 1, 102_400),
            idle_seconds=given.number("idleSeconds", 300, 1, 86_400),
            build_timeout_seconds=given.number("buildTimeoutSeconds", 300, 10, 3600),
            rate_per_second=given.number("ratePerSecond", 0, 0, 1_000_000),
            rate_burst=given.number("rateBurst", 100, 1, 1_000_000),
            retention_days=given.number("retentionDays", 30, 1, 3650),
            minimum_tier=given.choice("minimumTier", "C", TIERS),
            unsafe_without_walls=given.flag("unsafeWithoutWalls", False),
            egress_allow=given.networks("egressAllow"),
            log_level=given.choice("logLevel", "info", LOG_LEVELS),
        )


KEYS: Final = frozenset(
    "".join(part.title() if index else part for index, part in enumerate(field.name.split("_")))
    for field in fields(Settings)
)
"""Every setting, as stack files spell it."""

SECRET_KEYS: Final[frozenset[str]] = frozenset()
"""Those of them that must be stored encrypted."""


def refuse_unknown(config: Mapping[str, str]) -> None:
    """Raises `SettingError` that names each unknown `cloudserve:` setting, and what it may have been meant to be."""
    unknown = sorted(_own(config) - KEYS)
    if unknown:
        raise SettingError(
            " ".join(f"There is no setting cloudserve:{name}{_meant(name)}." for name in unknown)
            + " Remedy: correct it in infra/stacks/Pulumi."
            + f"{pulumi.get_stack()}.yaml; Pulumi.yaml describes every setting."
        )


def refuse_plain_secrets(config: Mapping[str, str]) -> None:
    """Raises `SettingError` that names each secret setting whose value is stored in plain text."""
    for name in sorted(_own(config) & SECRET_KEYS):
        if config[f"{NAMESPACE}:{name}"] and not is_config_secret(f"{NAMESPACE}:{name}"):
            raise SettingError(
                f"cloudserve:{name} is stored in plain text. Remedy: `pulumi config set --secret cloudserve:{name}` "
                "with a new value: the old one may have been seen."
            )


def default_data_dir(stack: str) -> Path:
    """Returns where a stack keeps its data unless told otherwise."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "cloudserve" / stack


def _own(keys: Iterable[str]) -> set[str]:
    return {key.partition(":")[2] for key in keys if key.partition(":")[0] == NAMESPACE}


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name, KEYS, n=1, cutoff=0.6)
    return f" (did you mean cloudserve:{close[0]}?)" if close else ""


class _Reader:
    """Reads one setting, whatever its type; an empty text is its default."""

    def __init__(self, config: pulumi.Config) -> None:
        self._config = config

    def text(self, name: str, default: str) -> str:
        return self._config.get(name) or default

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise SettingError(f"cloudserve:{name} is {value!r}; it must be one of {', '.join(choices)}.")
        return value

    def number(self, name: str, default: int, lowest: int, highest: int) -> int:
        text = self.text(name, str(default))
        if not text.lstrip("-").isdigit() or not lowest <= int(text) <= highest:
            raise SettingError(f"cloudserve:{name} is {text!r}; it must be a whole number, {lowest} to {highest}.")
        return int(text)

    def flag(self, name: str, default: bool) -> bool:
        return self.choice(name, "true" if default else "false", ("true", "false")) == "true"

    def host(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            ip_address(value)
        except ValueError:
            raise SettingError(
                f"cloudserve:{name} is {value!r}; it must be an IP address, such as 127.0.0.1."
            ) from None
        return value

    def networks(self, name: str) -> str:
        value = self.text(name, "")
        for entry in filter(None, map(str.strip, value.split(","))):
            host, colon, port = entry.rpartition(":") if "]" in entry or entry.count(":") == 1 else (entry, "", "")
            try:
                ip_network((host if colon else entry).replace("[", "").replace("]", ""), strict=False)
                valid = not colon or 1 <= int(port) <= 65535
            except ValueError:
                valid = False
            if not valid:
                raise SettingError(
                    f"cloudserve:{name} has {entry!r}; it takes addresses and networks with commas between, "
                    "with a port or without, such as 10.0.0.5:5432 or 10.1.0.0/16."
                )
        return value

    def origin(self, name: str) -> str:
        value = self.text(name, "").rstrip("/")
        if value and not value.startswith(("http://", "https://")):
            raise SettingError(f"cloudserve:{name} is {value!r}; it must begin with http:// or https://.")
        return value

    def folder(self, name: str) -> Path | None:
        value = self.text(name, "")
        path = Path(value).expanduser()
        if value and not path.is_absolute():
            raise SettingError(f"cloudserve:{name} is {value!r}; it must be an absolute path.")
        return path if value else None
