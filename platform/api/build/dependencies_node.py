"""npm dependencies: locked with integrity hashes, installed without running any script of theirs.

The lock is npm's own package-lock.json without the addresses it was resolved from: which registry is used is up to the
host's configuration. What was asked for is in it, so that a later deploy which asks for the same keeps it.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from cloudserve.api.build.environment import environment
from cloudserve.api.build.exclusive import exclusive
from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.installed_tree import MODULES
from cloudserve.api.build.jail import Access, Jail, refused
from cloudserve.api.build.registries import Registries, Registry, hosts_of
from cloudserve.api.build.tools import Finished, Output
from cloudserve.core.ids import new_id

_NAME: Final = "function"
_FLAGS: Final = (
    *("--ignore-scripts", "--omit=dev", "--location=project"),
    *("--no-audit", "--no-fund", "--no-progress", "--loglevel=error"),
)
_UNREACHABLE: Final = re.compile(
    r"code (ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT|"
    r"SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+)"
)
_NOT_FOUND: Final = re.compile(r"'((?:@[^/@']+/)?[^@']+)@([^']*)' (?:could not be found|is not in)")
_NO_VERSION: Final = re.compile(r"No matching version found for ((?:@[^/@\s]+/)?[^@\s]+)@(\S*?)\.?$", re.MULTILINE)
_OTHER_NODE: Final = re.compile(
    r"EBADENGINE +package: '([^']+)',\nnpm warn EBADENGINE +required: \{ node: '([^']+)'.*\n"
    r"npm warn EBADENGINE +current: \{ node: '([^']+)'"
)
_TARBALL: Final = re.compile(r'"(https?://[^"]+)"')
_KEPT_TREES: Final = 20
_SPARED_SECONDS: Final = 3600.0


def find_lock(asked: Mapping[str, str], locks: Iterable[str]) -> str | None:
    """Returns the first of `locks` that was made for the same packages and ranges."""
    return next((lock for lock in locks if _root(lock).get("dependencies", {}) == dict(asked)), None)


def _root(lock: str) -> dict[str, Any]:
    try:
        root: dict[str, Any] = json.loads(lock)["packages"][""]
    except (ValueError, KeyError, TypeError):
        return {}  # a lock of another runtime
    return root


class NodeDependencies:
    """Calls npm. `trees` holds what was installed; it lasts, and may be deleted at any time."""

    def __init__(self, trees: Path, registries: Registries) -> None:
        self._trees = trees
        self._registries = registries
        self._hosts: dict[tuple[Registry, str | None], tuple[str, ...]] = {}
        self._abi: str | None = None

    async def lock(self, asked: Mapping[str, str], folder: Path, output: Output, *, jail: Jail) -> str:
        """Resolves packages in the scratch folder `folder` and returns the lock. Raises `BuildFailed`."""
        count = f"{len(asked)} npm package{'' if len(asked) == 1 else 's'}"
        output.write(f"Locking {count}: {', '.join(f'{name} {wanted}' for name, wanted in sorted(asked.items()))}")
        manifest = {"name": _NAME, "private": True, "dependencies": dict(asked)}
        await asyncio.to_thread(_write, folder, {"package.json": json.dumps(manifest)})
        # With this flag the addresses that remain are those of packages that are not the registry's.
        arguments = ["install", "--package-lock-only", "--omit-lockfile-registry-resolved", *_FLAGS, "--loglevel=warn"]
        finished = await self._npm(arguments, folder, jail, await self._files(asked, folder, jail))
        if finished.code != 0:
            raise _failure(finished, folder)
        for package, wanted, here in _OTHER_NODE.findall(finished.text):
            output.write(f"Warning: {package} is made for Node.js {wanted}; here it gets {here}, and may not work.")
        lock = _canonical(await asyncio.to_thread((folder / "package-lock.json").read_text, encoding="utf-8"))
        packages = json.loads(lock)["packages"]
        chosen = (
            f"{name} {found['version']}" for name in sorted(asked) if (found := packages.get(f"{MODULES}/{name}"))
        )
        output.write(f"Chosen: {', '.join(chosen)}")
        return lock

    async def install(self, lock: str, output: Output, *, jail: Jail) -> Path:
        """Returns the `node_modules` folder of a lock, for reading; installed if need be. Raises `BuildFailed`."""
        abi = await self.abi(jail)
        name = hashlib.sha256(f"{abi}\0{os.uname().machine}\0{lock}".encode()).hexdigest()
        tree = self._trees / name
        await asyncio.to_thread(self._trees.mkdir, parents=True, exist_ok=True)
        async with exclusive(self._trees / f"{name}.lock"):
            if not await asyncio.to_thread(_use, tree):
                await self._install(lock, tree, output, jail)
                await asyncio.to_thread(_drop_old, self._trees)
        return tree / MODULES

    async def abi(self, jail: Jail) -> str:
        """Returns the ABI tag of this host's Node.js."""
        if self._abi is None:
            program = ["node", "-p", "'node' + process.versions.modules"]
            finished = await jail.run(program, folder=Path("/"), environment={}, access=Access())
            if finished.code != 0:
                raise BuildFailed("Node.js could not be started on the platform's host.")
            self._abi = finished.text.strip()
        return self._abi

    async def _install(self, lock: str, tree: Path, output: Output, jail: Jail) -> None:
        document: dict[str, Any] = json.loads(lock)
        count = len(document["packages"]) - 1
        output.write(f"Installing {count} npm package{'' if count == 1 else 's'}")
        draft = tree.with_name(f".{tree.name}.{new_id()}")
        manifest = {"name": _NAME, "private": True, "dependencies": document["packages"][""]["dependencies"]}
        await asyncio.to_thread(draft.mkdir)
        try:
            files = {"package.json": json.dumps(manifest), "package-lock.json": lock}
            await asyncio.to_thread(_write, draft, files)
            packages = [path.removeprefix(f"{MODULES}/") for path in document["packages"] if path]
            finished = await self._npm(["ci", *_FLAGS], draft, jail, await self._files(packages, draft, jail))
            if finished.code != 0:
                raise _failure(finished, draft)
            await asyncio.to_thread((draft / MODULES).mkdir, exist_ok=True)
            await asyncio.to_thread(draft.rename, tree)
        finally:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)

    async def _npm(self, arguments: list[str], folder: Path, jail: Jail, hosts: Iterable[str] = ()) -> Finished:
        """Runs npm, which reaches its registries, and `hosts`."""
        registry = await self._registries.of("npm")
        access = Access(
            write=(folder, await jail.make_home()),
            read=registry.public,
            private=registry.private,
            hosts=(*registry.hosts, *hosts),
        )
        own = environment("npm", jail.home, temporary=folder)
        return await jail.run(["npm", *arguments], folder=folder, environment=own, access=access)

    async def _files(self, names: Iterable[str], folder: Path, jail: Jail) -> set[str]:
        """Returns the hosts from which the registries of some packages hand out files; each registry is asked once."""
        registry = await self._registries.of("npm")
        found: set[str] = set()
        for scope in (None, *registry.scopes):
            place = (registry, scope)
            name = next((name for name in names if _scope(name, registry.scopes) == scope), None)
            if place not in self._hosts and name is not None:
                finished = await self._npm(["view", name, "dist.tarball", "--json", *_FLAGS], folder, jail)
                if finished.code == 0:
                    self._hosts[place] = hosts_of(_TARBALL.findall(finished.text)[-1:])
            found.update(self._hosts.get(place, ()))
        return found


def _scope(name: str, known: Iterable[str]) -> str | None:
    """Returns the scope of a package if it has a registry of its own."""
    scope = name.partition("/")[0]
    return scope if scope in known else None


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


def _use(tree: Path) -> bool:
    """Tells whether a tree is there, and marks it as used."""
    if not tree.is_dir():
        return False
    os.utime(tree)
    return True


def _drop_old(trees: Path) -> None:
    """Deletes the trees that were not used for longest, but none that a build may be reading."""
    found = sorted((path for path in trees.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in found[:-_KEPT_TREES]:
        if path.stat().st_mtime < time.time() - _SPARED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)


def _canonical(text: str) -> str:
    """Returns a lock without addresses, the same text for the same content. Raises `BuildFailed`."""
    lock: dict[str, Any] = json.loads(text)
    for path, package in lock["packages"].items():
        if not path:
            continue
        name = PurePosixPath(path.rpartition(f"{MODULES}/")[2])
        address = package.pop("resolved", "")
        if package.get("link") or (address and not address.startswith(("http://", "https://"))):
            raise BuildFailed(f"The package `{name}` does not come from the registry, so it can't be installed.")
        if "integrity" not in package and not package.get("inBundle"):
            raise BuildFailed(f"The registry states no integrity hash for `{name}`, so it can't be locked.")
    return json.dumps(lock, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _failure(finished: Finished, folder: Path) -> BuildFailed:
    """Returns in plain words why npm failed."""
    if finished.refused:
        return refused(finished, "npm config set registry", "npm config set @scope:registry")
    missing = _NOT_FOUND.search(finished.text)
    if "code E404" in finished.text and missing is not None:
        return BuildFailed(
            f"There is no npm package `{missing[1]}`. Check the name, or list what you mean in package.json."
        )
    version = _NO_VERSION.search(finished.text)
    if version is not None:
        return BuildFailed(f"The npm package `{version[1]}` has no version `{version[2]}`. Ask for one that there is.")
    if _UNREACHABLE.search(finished.text):
        return BuildFailed("The npm registry could not be reached. Try again later, or tell the operator.")
    lines = [line.removeprefix("npm error").strip() for line in finished.text.splitlines() if "npm error" in line]
    told = [line for line in lines if line and not line.startswith("A complete log")]
    return BuildFailed("The npm packages could not be installed:\n" + "\n".join(told[:10]).replace(f"{folder}/", ""))
