"""The environment of a build's tools.

A tool has none of the platform's variables. An installer gets what tells it how this host reaches its registries (its
own configuration, proxies, certificates), and a home and a cache of its own.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

Installer = Literal["npm", "pip"]

_KEPT: Final = frozenset(
    {
        "PATH",
        "LANG",
        "LC_ALL",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    }
)
_OWN_PREFIXES: Final[dict[Installer, str]] = {"npm": "NPM_CONFIG_", "pip": "PIP_"}


def environment(
    installer: Installer, home: Path, *, temporary: Path | None = None, host: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Returns the environment of an installer with its home, its cache there, and a folder for temporary files."""
    prefix = _OWN_PREFIXES[installer]
    kept = {name: value for name, value in host.items() if name.upper() in _KEPT or name.upper().startswith(prefix)}
    common = {"HOME": str(home), "TMPDIR": str(temporary or home), "NO_COLOR": "1"}
    return kept | common | (_npm if installer == "npm" else _pip)(home, kept, host)


def _npm(home: Path, kept: Mapping[str, str], host: Mapping[str, str]) -> dict[str, str]:
    own = {"NPM_CONFIG_CACHE": str(home / "npm")}
    # A home of its own would hide the host user's own file, so it is named; the same with pip's below.
    npmrc = Path(host.get("HOME", "/")) / ".npmrc"
    if not _has(kept, "npm_config_userconfig") and npmrc.is_file():
        own["NPM_CONFIG_USERCONFIG"] = str(npmrc)
    return own


def _pip(home: Path, kept: Mapping[str, str], host: Mapping[str, str]) -> dict[str, str]:
    own = {
        "PIP_CACHE_DIR": str(home / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_USER": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if not _has(kept, "pip_config_file"):
        host_home = Path(host.get("HOME", "/"))
        config_home = Path(host.get("XDG_CONFIG_HOME") or host_home / ".config")
        for pip_conf in (config_home / "pip" / "pip.conf", host_home / ".pip" / "pip.conf"):
            if pip_conf.is_file():
                own["PIP_CONFIG_FILE"] = str(pip_conf)
                break
    return own


def _has(kept: Mapping[str, str], name: str) -> bool:
    return any(name == known.lower() for known in kept)
