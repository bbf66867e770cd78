"""What npm has installed, as its lock tells: what can be inlined, what a layer needs, and where Node.js finds it."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from cloudserve.api.build.layers import dep_hash

INSTALLER: Final = "npm"
MODULES: Final = "node_modules"


class InstalledTree:
    """What is in a `node_modules` folder, as its lock tells."""

    def __init__(self, lock: str, modules: Path) -> None:
        self._packages: dict[str, dict[str, Any]] = json.loads(lock)["packages"]
        self._modules = modules

    @property
    def roots(self) -> list[str]:
        """The packages that the function asks for."""
        return list(self._packages[""].get("dependencies", {}))

    def has(self, name: str) -> bool:
        """Tells whether a package can be imported by the function itself."""
        return (self._modules / name).is_dir()

    def native(self) -> frozenset[str]:
        """Returns the packages that can't be inlined, for they load machine code or WebAssembly from files of theirs.

        So does what has such a package as an optional dependency: one for each platform, chosen when it runs.
        """
        paths = {path for path in self._packages if path and self._holds_code(path)}
        paths |= {
            path
            for path, package in self._packages.items()
            if path and any(self._resolve(path, name) in paths for name in package.get("optionalDependencies", {}))
        }
        # A nested copy is found from the package around it alone, so that one is left out with it.
        return frozenset(_top(path) for path in paths)

    def lacks_build(self, name: str) -> bool:
        """Tells whether a package has sources of native code, but nothing that was built from them."""
        folder = self._modules / name
        return (folder / "binding.gyp").is_file() and next(folder.rglob("*.node"), None) is None

    def closure(self, names: Iterable[str]) -> list[str]:
        """Returns the paths of packages and of all that they depend on, sorted."""
        waiting = [path for name in names if (path := f"{MODULES}/{name}") in self._packages]
        found = set(waiting)
        while waiting:
            path = waiting.pop()
            for name in _dependencies(self._packages[path]):
                below = self._resolve(path, name)
                if below is not None and below not in found:
                    found.add(below)
                    waiting.append(below)
        return sorted(found)

    def dep_hash(self, paths: Iterable[str], abi: str) -> str:
        """Returns the depHash of some of the packages."""
        pins = [
            f"{path} {self._packages[path]['version']} {self._packages[path].get('integrity', '')}" for path in paths
        ]
        return dep_hash(abi=abi, installer=INSTALLER, packages=pins)

    def copy(self, paths: Iterable[str], target: Path) -> None:
        """Puts packages into the folder `target`, as a `node_modules` folder of its own."""
        for path in paths:
            source = self._modules.parent / path
            if source.is_dir():  # an optional one for another platform is not there
                shutil.copytree(
                    source,
                    target / path,
                    copy_function=os.link,
                    ignore=_leave_nested,
                    symlinks=True,
                    dirs_exist_ok=True,
                )

    def _holds_code(self, path: str) -> bool:
        folder = self._modules.parent / path
        return any(_is_code(file) for file in _own_files(folder))

    def _resolve(self, path: str, name: str) -> str | None:
        """Returns the path of what a package gets when it imports `name`, as Node.js looks for it."""
        while True:
            candidate = f"{path}/{MODULES}/{name}" if path else f"{MODULES}/{name}"
            if candidate in self._packages:
                return candidate
            if not path:
                return None
            path = path.rpartition(f"{MODULES}/")[0].rstrip("/")


def _dependencies(package: dict[str, Any]) -> Iterator[str]:
    for kind in ("dependencies", "optionalDependencies", "peerDependencies"):
        yield from package.get(kind, {})


def _top(path: str) -> str:
    parts = path.split("/")[1:]
    return "/".join(parts[:2]) if parts[0].startswith("@") else parts[0]


def _own_files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        if MODULES in folders:
            folders.remove(MODULES)
        yield from (Path(root, name) for name in files)


def _is_code(file: Path) -> bool:
    return file.suffix in {".node", ".wasm"} or file.name == "binding.gyp"


def _leave_nested(folder: str, names: list[str]) -> list[str]:
    return [MODULES] if MODULES in names else []
