"""Which settings go along with an export, to be told when it is imported.

Settings are the deployment's, not the data's: an import changes none. But a function that was deployed with larger
limits fails under smaller ones, so whoever imports is told what differs.
"""

from collections.abc import Mapping
from typing import Any, Final

from cloudserve.core.config import Settings

CARRIED: Final = (
    *("signup", "google_client_id", "session_days"),
    *("max_body_mb", "max_response_mb", "max_archive_mb", "max_unpacked_mb", "max_files", "max_dependencies"),
    *("max_processes", "max_open_files", "max_disk_mb", "max_inodes", "max_log_kb"),
    *("rate_per_second", "rate_burst", "retention_days", "egress_allow"),
)
"""What accounts and functions may do. Addresses, ports and what suits one host are not among them."""


def carried(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that go along, of a platform's settings file; what is not in it has its default."""
    return {
        name: value
        for name in CARRIED
        if (value := settings.get(name, Settings.model_fields[name].default)) is not None
    }


def differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns the settings that differ: each with its value in the export and the one here."""
    own = carried(here)
    return {name: (there[name], own.get(name)) for name in CARRIED if name in there and there[name] != own.get(name)}
