"""The platform's settings: one typed, described model, read from a JSON file and from the environment.

A setting `data_dir` is `CLOUDSERVE_DATA_DIR` in the environment, which wins over `data_dir` in the file. Secrets are
files of mode 0600 in `credentials/` of the data folder (`Credentials`), never settings.
"""

import os
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    JsonConfigSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from cloudserve.core.confine.bounds import Bounds
from cloudserve.core.confine.egress.policy import parse_permitted

MEBIBYTE: Final = 1024 * 1024

SignupMode = Literal["open", "invite", "closed"]


class Settings(BaseSettings):
    """All settings of the embedded platform, with their defaults."""

    model_config = SettingsConfigDict(
        env_prefix="CLOUDSERVE_",
        extra="forbid",
        frozen=True,
    )

    data_dir: Path = Field(description="The folder that holds everything the platform keeps.")
    host: str = Field("127.0.0.1", description="The address both ports listen on.")
    port: int = Field(7700, ge=0, le=65535, description="The port of the dashboard and the API.")
    run_port: int = Field(7701, ge=0, le=65535, description="The port functions answer on.")
    url: str = Field("http://localhost:7700", description="The platform's origin as browsers see it.")
    run_url: str = Field("http://127.0.0.1:7701", description="The functions' origin as callers see it.")
    instance: str = Field("", description="The token /healthz answers with, so that health means this instance.")
    signup: SignupMode = Field("closed", description="Who may sign up: anyone, who is invited, or nobody.")
    google_client_id: str | None = Field(None, description="The OAuth client that Google sign-in checks tokens for.")
    session_days: int = Field(14, ge=1, le=365, description="Days until a session ends.")
    max_body_mb: int = Field(10, ge=1, le=1024, description="The largest request body of a function, in MiB.")
    max_response_mb: int = Field(100, ge=1, le=10240, description="The largest answer of a function, in MiB.")
    max_archive_mb: int = Field(25, ge=1, le=1024, description="The largest deploy archive, in MiB.")
    max_unpacked_mb: int = Field(100, ge=1, le=4096, description="The largest deploy once unpacked, in MiB.")
    max_files: int = Field(2000, ge=1, le=100_000, description="The most files in a deploy.")
    max_dependencies: int = Field(50, ge=0, le=1000, description="The most direct dependencies of a function.")
    build_timeout_seconds: int = Field(300, ge=10, le=3600, description="The longest a build may take.")
    max_workers: int = Field(64, ge=1, le=10_000, description="Workers of all functions at most, on this host.")
    max_processes: int = Field(64, ge=16, le=10_000, description="Processes and threads of one worker at most.")
    max_open_files: int = Field(1024, ge=64, le=1_048_576, description="Files one process of a worker may have open.")
    max_disk_mb: int = Field(64, ge=1, le=1_048_576, description="The files in a worker's folder at most, in MiB.")
    max_inodes: int = Field(8192, ge=64, le=100_000_000, description="Files and folders in a worker's folder at most.")
    max_log_kb: int = Field(256, ge=1, le=102_400, description="The output of one call that is kept, in KiB.")
    idle_seconds: float = Field(300, ge=1, description="Seconds until an idle worker ends.")
    queue_seconds: float = Field(10, ge=0, description="The longest a call waits for a worker.")
    rate_per_second: float = Field(0, ge=0, description="Calls a second for each key and owner; 0 is no limit.")
    rate_burst: int = Field(100, ge=1, description="Calls that may come at once under `rate_per_second`.")
    store_tolerance_seconds: float = Field(
        300, ge=1, description="How long calls go on with what a gateway has in memory while the store is away."
    )
    retention_days: int = Field(30, ge=1, le=3650, description="Days that logs and usage records are kept.")
    minimum_tier: Literal["A", "B", "C"] = Field("C", description="The weakest walls to start with (docs/sandbox.md).")
    unsafe_without_walls: bool = Field(False, description="Start on a weaker host all the same: for development only.")
    egress_allow: str = Field(
        "",
        description="Addresses and networks that functions may reach though they are not public, with commas between.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What the log shows.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Reads arguments first, then the environment, then the file."""
        return init_settings, env_settings, JsonConfigSettingsSource(settings_cls)

    @field_validator("egress_allow")
    @classmethod
    def _is_readable(cls, value: str) -> str:
        """Refuses what the warden couldn't read; a ValueError is pydantic's to report."""
        parse_permitted(_entries(value))
        return value

    def egress_permitted(self) -> list[str]:
        """Returns the entries of `egress_allow`: `10.0.0.5`, `10.0.0.0/8:5432`, `[fd00::]/8:443`."""
        return _entries(self.egress_allow)

    def bounds(self) -> Bounds:
        """Returns what each worker may use beside time and memory."""
        return Bounds(
            processes=self.max_processes,
            open_files=self.max_open_files,
            disk_mb=self.max_disk_mb,
            inodes=self.max_inodes,
            log_kb=self.max_log_kb,
        )

    @classmethod
    def load(cls, file: Path | None = None, **values: Any) -> "Settings":
        """Reads the settings. Raises pydantic's ValidationError, which names each setting at fault."""

        class FromFile(cls):  # type: ignore[misc, valid-type]
            model_config = SettingsConfigDict(json_file=file)

        return cls.model_validate(FromFile(**values).model_dump())


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


class DataFolder:
    """Where things are in the data folder. Nothing here touches the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "cloudserve.db"
        self.objects = root / "objects"
        self.credentials = root / "credentials"
        self.spool = root / "spool"
        self.cache = root / "cache"
        # Of this process alone: while one hands over to the next, both are at work.
        self.work = root / "work" / str(os.getpid())
        self.logs = root / "logs"
        self.run = root / "run"
