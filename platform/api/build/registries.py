"""What npm and pip of this host are set up to use, asked of the tools themselves: no registry has a name in our code.

A build behind walls reaches the hosts that are found here, and reads the files that are found here, and nothing else of
the host. A registry may hand out its files from another host than the one that it answers on; which one is for the
registry to say, and `dependencies_node` and `dependencies_python` ask it.
"""

import json
import os
import re
import ssl
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloudserve.api.build import ask_pip
from cloudserve.api.build.environment import Installer, environment
from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.tools import run

_PORTS: Final = {"http": 80, "https": 443}
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
_CERTIFICATES: Final = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CLIENT_FILE: Final = re.compile(r"^\s*(?://\S+:)?(?:certfile|keyfile)\s*=\s*(.+?)\s*$", re.MULTILINE)
_SETTING: Final = re.compile(r"^([^;\s]\S*) = ([\[{\"ntf0-9(-].*)$", re.MULTILINE)
_HIDDEN: Final = "(protected)"
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")

Stamp = tuple[int, int, int] | None
"""A file's inode, size and time of its last change in nanoseconds; None when there is none."""


@dataclass(frozen=True, slots=True)
class Registry:
    """What one installer may reach and read.

    Args:
        hosts: `host:port` each, proxies included; private addresses too, because it is the host's operator who named
            them.
        private: files that may hold tokens, keys and passwords, to be shown to this installer alone.
        public: certificates of authorities, and folders of packages.
        scopes: the scopes of npm that have a registry of their own.
        sources: in how many places packages are looked for.
        took_ms: how many milliseconds it took to ask.
    """

    hosts: tuple[str, ...]
    private: tuple[Path, ...]
    public: tuple[Path, ...]
    scopes: tuple[str, ...]
    sources: int
    took_ms: float


@dataclass(frozen=True, slots=True)
class _Known:
    environment: Mapping[str, str]
    stamps: Mapping[Path, Stamp]
    registry: Registry


class Registries:
    """Asks npm and pip, and asks again only when the environment or a file of their configuration has changed.

    `home` is an empty home for the tools, which are asked outside of any build.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._known: dict[Installer, _Known] = {}

    async def of(self, installer: Installer) -> Registry:
        """Returns what an installer is set up to use. Raises `BuildFailed` when it can't be asked."""
        now = environment(installer, self._home)
        known = self._known.get(installer)
        if known is not None and known.environment == now and known.stamps == _stamps(known.stamps):
            return known.registry
        began = time.perf_counter()
        document, files = await _ASKED[installer](now)
        stamps = _stamps(files)
        read = _read_npm if installer == "npm" else _read_pip
        registry = read(document, [file for file in files if stamps[file] is not None], now, began)
        self._known[installer] = _Known(now, stamps, registry)
        return registry


async def _ask_npm(now: Mapping[str, str]) -> tuple[dict[str, Any], list[Path]]:
    # As JSON it leaves out an address that holds a password; as text it blots the password out.
    text = await _ask("npm", ["npm", "config", "list", "--long", "--location=project", "--loglevel=silent"], now)
    document = {name: json.loads(value) for name, value in _SETTING.findall(text) if value != _HIDDEN}
    if "registry" not in document:
        raise _unclear("npm")
    return document, [Path(document[name]) for name in ("userconfig", "globalconfig") if document.get(name)]


async def _ask_pip(now: Mapping[str, str]) -> tuple[dict[str, Any], list[Path]]:
    text = await _ask("pip", [sys.executable, "-I", ask_pip.__file__], now)
    try:
        document: dict[str, Any] = json.loads(text.splitlines()[-1])
    except (ValueError, IndexError):
        raise _unclear("pip") from None
    chosen = now.get("PIP_CONFIG_FILE")
    return document, [Path(file) for file in dict.fromkeys([*document["files"], *([chosen] if chosen else [])])]


_ASKED: Final[dict[Installer, Callable[[Mapping[str, str]], Awaitable[tuple[dict[str, Any], list[Path]]]]]] = {
    "npm": _ask_npm,
    "pip": _ask_pip,
}


async def _ask(name: str, arguments: list[str], now: Mapping[str, str]) -> str:
    finished = await run(arguments, folder=Path("/"), environment=now, guarded=True)
    if finished.code != 0:
        raise _unclear(name)
    return finished.text


def _unclear(name: str) -> BuildFailed:
    return BuildFailed(
        f"The host's {name} did not say how it is set up, so nothing can be installed. Tell the operator."
    )


def _read_npm(document: dict[str, Any], files: list[Path], now: Mapping[str, str], began: float) -> Registry:
    scopes = sorted(name.removesuffix(":registry") for name in document if _is_scope(name))
    registries = [document["registry"], *(document[f"{scope}:registry"] for scope in scopes)]
    proxies = [document.get("proxy"), document.get("https-proxy"), *_proxies(now)]
    keys = [_expanded(found, now) for file in files for found in _CLIENT_FILE.findall(_text(file))]
    return Registry(
        hosts=hosts_of([*registries, *proxies]),
        private=tuple(existing([*files, *keys])),
        public=tuple(existing([document.get("cafile"), *_certificates(now)])),
        scopes=tuple(scopes),
        sources=len(registries),
        took_ms=(time.perf_counter() - began) * 1000,
    )


def _is_scope(name: str) -> bool:
    return name.startswith("@") and name.endswith(":registry")


def _read_pip(document: dict[str, Any], files: list[Path], now: Mapping[str, str], began: float) -> Registry:
    indexes = [] if document["no_index"] else [document["index_url"], *document["extra_index_urls"]]
    sources = [*indexes, *document["find_links"]]
    constraints = document["constraints"]
    local = [path for source in [*sources, *constraints] if (path := _local(source)) is not None]
    return Registry(
        hosts=hosts_of([*sources, *constraints, document["proxy"], *_proxies(now)]),
        private=tuple(existing([*files, document["client_cert"]])),
        public=tuple(existing([*local, document["cert"], *_certificates(now)])),
        scopes=(),
        sources=len(sources) - len([source for source in sources if _local(source) is not None]),
        took_ms=(time.perf_counter() - began) * 1000,
    )


def hosts_of(addresses: Iterable[str | None]) -> tuple[str, ...]:
    """Returns `host:port` of each address that leads to another place, once. A proxy may come without `http://`."""
    found: dict[str, None] = {}
    for address in addresses:
        if not address or _local(address) is not None:
            continue
        parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
        if parts.hostname:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            found[f"{host}:{parts.port or _PORTS.get(parts.scheme, 443)}"] = None
    return tuple(found)


def existing(paths: Iterable[Path | str | None]) -> Iterator[Path]:
    """Yields those paths that there are, absolute, each once."""
    seen: set[Path] = set()
    for path in paths:
        absolute = Path(path).expanduser().absolute() if path else None
        if absolute is not None and absolute not in seen and absolute.exists():
            seen.add(absolute)
            yield absolute


def _local(source: str) -> str | None:
    """Returns the path that a place for packages is; None for one in the network."""
    if source.startswith("file:"):
        return urllib.request.url2pathname(urllib.parse.urlsplit(source).path)
    return source if source.startswith(("/", "~", ".")) else None


def _proxies(now: Mapping[str, str]) -> list[str]:
    return [value for name, value in now.items() if name.lower() in _PROXIES]


def _certificates(now: Mapping[str, str]) -> list[str | None]:
    """Returns whom to trust: what the environment says, and what OpenSSL looks at where it says nothing."""
    usual = ssl.get_default_verify_paths()
    return [*(now.get(name) for name in _CERTIFICATES), usual.cafile, usual.capath]


def _expanded(value: str, now: Mapping[str, str]) -> str:
    """Returns a value of an npmrc with its `${VARIABLES}` filled in."""
    return _VARIABLE.sub(lambda found: now.get(found[1], ""), value.strip("\"'"))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _stamps(files: Iterable[Path]) -> dict[Path, Stamp]:
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> Stamp:
    try:
        status = os.stat(file)  # noqa: PTH116 - None for what is no file is all there is to say
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns)
