"""The target `local`: the whole platform in one process tree on this machine."""

import sys
from typing import Any

import pulumi
from settings import Settings
from sources import code_hash

from components.local_platform import LocalPlatform, LocalPlatformArgs


def deploy(settings: Settings) -> None:
    """Declares the platform and exports how to reach it."""
    platform = LocalPlatform(
        "platform",
        LocalPlatformArgs(
            data_dir=settings.data_dir,
            keep_data=settings.keep_data,
            command=(sys.executable, "-m", "cloudserve.cli.supervisor"),
            code=code_hash(),
            settings=platform_settings(settings),
            admin_email=settings.admin_email,
            admin_user_name=settings.admin_user_name,
        ),
    )
    pulumi.export("url", settings.url)
    pulumi.export("runUrl", settings.run_url)
    pulumi.export("dataDir", str(settings.data_dir))
    pulumi.export("keepData", settings.keep_data)
    pulumi.export("adminEmail", platform.administrator.address)
    pulumi.export("adminUserName", settings.admin_user_name)
    pulumi.export("adminPassword", platform.administrator.password)
    pulumi.export("adminApiKey", platform.administrator.api_key)
    pulumi.export("adminPasswordStale", platform.administrator.password_stale)
    pulumi.export("adminApiKeyStale", platform.administrator.api_key_stale)


def platform_settings(settings: Settings) -> dict[str, Any]:
    """Returns the settings as the platform names them (`cloudserve.core.config.Settings`)."""
    return {
        "host": settings.host,
        "port": settings.port,
        "run_port": settings.run_port,
        "url": settings.url,
        "run_url": settings.run_url,
        "signup": settings.signup,
        "google_client_id": settings.google_client_id or None,
        "session_days": settings.session_days,
        "max_body_mb": settings.max_body_mb,
        "max_response_mb": settings.max_response_mb,
        "max_archive_mb": settings.max_archive_mb,
        "max_workers": settings.max_workers,
        "max_processes": settings.max_processes,
        "max_open_files": settings.max_open_files,
        "max_disk_mb": settings.max_disk_mb,
        "max_inodes": settings.max_inodes,
        "max_log_kb": settings.max_log_kb,
        "idle_seconds": settings.idle_seconds,
        "build_timeout_seconds": settings.build_timeout_seconds,
        "rate_per_second": settings.rate_per_second,
        "rate_burst": settings.rate_burst,
        "retention_days": settings.retention_days,
        "minimum_tier": settings.minimum_tier,
        "unsafe_without_walls": settings.unsafe_without_walls,
        "egress_allow": settings.egress_allow,
        "log_level": settings.log_level,
    }
