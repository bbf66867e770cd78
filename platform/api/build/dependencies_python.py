"""Python dependencies: locked with hashes, installed from wheels alone.

pip resolves once and reports what it chose; the lock is a requirements file that pip installs with `--require-hashes`.
Its comments say what was asked for and for which Python, so that a later deploy which asks for the same keeps it.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from cloudserve.api.build import ask_pip
from cloudserve.api.build.environment import environment
from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.jail import Access, Jail, refused
from cloudserve.api.build.layers import dep_hash
from cloudserve.api.build.registries import Registries, Registry, hosts_of
from cloudserve.api.build.tools import PYTHON, Finished, Output

ABI: Final = f"cp{sys.version_info.major}{sys.version_info.minor}"
INSTALLER: Final = "pip"

_HEADER: Final = f"# Locked by CloudServe for {ABI}."
_ASKED: Final = "# asked: "
_PYTHON: Final = (sys.executable, "-I")
_PIP: Final = (*_PYTHON, "-m", "pip")
_NO_MATCH: Final = re.compile(r"No matching distribution found for ([^\s;]+)")
_UNREACHABLE: Final = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|Connection refused|name resolution|Max retries exceeded|SSLError"
)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def dep_hash_of(lock: str) -> str:
    """Returns the depHash of a lock."""
    return dep_hash(abi=ABI, installer=INSTALLER, packages=_pins(lock))


def _pins(lock: str) -> list[str]:
    return [line for line in lock.splitlines() if line and not line.startswith("#")]


def find_lock(requirements: Sequence[str], locks: Iterable[str]) -> str | None:
    """Returns the first of `locks` that was made for the same requirements and the same Python."""
    head = _head(requirements)
    return next((lock for lock in locks if [line for line in lock.splitlines() if line.startswith("#")] == head), None)


def _head(requirements: Sequence[str]) -> list[str]:
    return [_HEADER, *(f"{_ASKED}{requirement}" for requirement in requirements)]


class PythonDependencies:
    """Calls pip."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries
        self._hosts: dict[Registry, set[str]] = {}
        self._asked: dict[Registry, set[str]] = {}

    async def lock(self, requirements: Sequence[str], folder: Path, output: Output, *, jail: Jail) -> str:
        """Resolves requirements in the scratch folder `folder` and returns the lock. Raises `BuildFailed`."""
        asked, report = folder / "requirements.in", folder / "report.json"
        await asyncio.to_thread(asked.write_text, "".join(f"{line}\n" for line in requirements), encoding="utf-8")
        output.write(f"Locking {_count(requirements)}: {', '.join(requirements)}")
        unused = folder / "unused"  # pip wants a target even when it installs nothing
        arguments = ("--dry-run", "--ignore-installed", "--report", report, "--target", unused, "-r", asked)
        hosts = await self._files(requirements, folder, jail)
        finished = await self._install_wheels(*arguments, folder=folder, output=output, jail=jail, hosts=hosts)
        if finished.code != 0:
            raise await self._failure(finished, folder, jail)
        document: dict[str, Any] = json.loads(await asyncio.to_thread(report.read_bytes))
        pins = await asyncio.to_thread(lambda: sorted(_pin(item) for item in document["install"]))
        output.write(f"Chosen: {', '.join(pin.partition(' ')[0] for pin in pins)}")
        return "".join(f"{line}\n" for line in [*_head(requirements), *pins])

    async def install(self, lock: str, target: Path, output: Output, *, jail: Jail) -> None:
        """Installs a lock into the folder `target`, ready to be put on the path. Raises `BuildFailed`."""
        folder = target.parent
        locked = folder / "requirements.txt"
        await asyncio.to_thread(locked.write_text, lock, encoding="utf-8")
        output.write(f"Installing {_count(_pins(lock))}")
        arguments = ("--require-hashes", "--no-deps", "--no-compile", "--target", target, "-r", locked)
        hosts = await self._files(_pins(lock), folder, jail)
        finished = await self._install_wheels(*arguments, folder=folder, output=output, jail=jail, hosts=hosts)
        if finished.code != 0:
            raise await self._failure(finished, folder, jail)
        # Workers can't write there, and packing drops the times that the usual kind of bytecode is checked by.
        compile_all = ("-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash", "-s", target, target)
        # A package may hold files for other versions of Python, so what does not compile is no failure.
        await jail.run([PYTHON, "-I", *compile_all], folder=folder, environment={}, access=Access(write=(folder,)))

    async def _install_wheels(
        self, *arguments: str | Path, folder: Path, output: Output, jail: Jail, hosts: Iterable[str]
    ) -> Finished:
        def show(line: str) -> None:
            if line.lstrip().startswith(("Downloading ", "Using cached ")):
                output.write(line.strip())

        command = [*_PIP, "install", "--only-binary", ":all:", *arguments]
        return await self._run(command, folder=folder, jail=jail, hosts=hosts, on_line=show)

    async def _run(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        jail: Jail,
        hosts: Iterable[str] = (),
        on_line: Callable[[str], None] | None = None,
    ) -> Finished:
        """Runs pip, or what uses it; it reaches its indexes, and `hosts`."""
        registry = await self._registries.of("pip")
        access = Access(
            write=(folder, await jail.make_home()),
            read=(*_own_files(apart=jail.protection.tier != "C"), *registry.public),
            private=registry.private,
            hosts=(*registry.hosts, *hosts),
        )
        own = environment("pip", jail.home, temporary=folder)
        return await jail.run(command, folder=folder, environment=own, access=access, on_line=on_line)

    async def _files(self, wanted: Sequence[str], folder: Path, jail: Jail) -> set[str]:
        """Returns the hosts from which the indexes hand out files: one index is asked once, of several each anew."""
        registry = await self._registries.of("pip")
        known, asked = self._hosts.setdefault(registry, set()), self._asked.setdefault(registry, set())
        names = {found[0].lower() for one in wanted if (found := _NAME.match(one)) is not None} - asked
        if names and registry.sources > (1 if known else 0):
            finished = await self._run([*_PYTHON, ask_pip.__file__, *sorted(names)], folder=folder, jail=jail)
            with contextlib.suppress(ValueError):  # what is wrong is pip's to say, when it is run for good
                known.update(hosts_of(json.loads(finished.text.splitlines()[-1])["addresses"]))
                asked |= names
        return known

    async def _failure(self, finished: Finished, folder: Path, jail: Jail) -> BuildFailed:
        """Returns in plain words why pip failed."""
        if finished.refused:
            return refused(finished, "pip config set global.index-url", "pip config set global.extra-index-url")
        missing = _NO_MATCH.search(finished.text)
        if _UNREACHABLE.search(finished.text):
            return BuildFailed("The package index could not be reached. Try again later, or tell the operator.")
        if missing is None:
            return BuildFailed(f"The Python packages could not be installed:\n{_errors(finished.text, folder)}")
        name = _NAME.match(missing[1])
        package = name[0] if name is not None else missing[1]
        known = await self._run([*_PIP, "index", "versions", package], folder=folder, jail=jail)
        if known.code != 0 and "No matching distribution" in known.text:
            advice = "Check the name, or list what you mean in requirements.txt."
            return BuildFailed(f"There is no Python package `{package}`. {advice}")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return BuildFailed(
            f"`{missing[1]}` has no release with a wheel for Python {version} on this platform, and source "
            "distributions are not built. Ask for another release, or another package."
        )


def _own_files(*, apart: bool) -> Iterator[Path]:
    """Yields what makes this interpreter find its pip: the program, how it is set up, and pip itself.

    Python lists the folder that pip is in; where a tool has no root of its own, that takes the right to read it.
    """
    yield Path(sys.executable)
    yield Path(ask_pip.__file__)
    if (Path(sys.prefix) / "pyvenv.cfg").is_file():
        yield Path(sys.prefix) / "pyvenv.cfg"
    found = importlib.util.find_spec("pip")
    if found is not None and found.origin is not None:
        package = Path(found.origin).parent
        yield package if apart else package.parent


def _errors(text: str, folder: Path) -> str:
    lines = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR:")]
    return "\n".join(lines or text.strip().splitlines()[-5:]).replace(f"{folder}/", "")


def _pin(item: dict[str, Any]) -> str:
    name, version = item["metadata"]["name"], item["metadata"]["version"]
    info = item["download_info"]
    digest = info.get("archive_info", {}).get("hashes", {}).get("sha256")
    if digest is None and info["url"].startswith("file:"):
        # A wheel in a folder of the host's: its index states no hash.
        path = urllib.request.url2pathname(urllib.parse.urlsplit(info["url"]).path)
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if digest is None:
        raise BuildFailed(f"The package index states no hash for `{name}` {version}, so it can't be locked.")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version} --hash=sha256:{digest}"


def _count(packages: Sequence[str]) -> str:
    return f"{len(packages)} Python package{'' if len(packages) == 1 else 's'}"
