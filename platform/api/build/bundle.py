"""Turns checked sources into what a worker loads, or says what is wrong with them, place by place.

Node.js: one file with its source map, dependencies inlined. Python: the sources as they are.
"""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from cloudserve.api.build import esbuild, imports_python
from cloudserve.api.build.detect import LANGUAGES
from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.imports_js import package_of
from cloudserve.api.build.jail import Access, Jail
from cloudserve.api.build.tools import PYTHON

_MAX_SHOWN: Final = 50
_MAX_ROUNDS: Final = 8
_NEEDS_ESM: Final = (
    "Top-level await is currently not supported",
    '"import.meta" is not available with the "cjs" output format',
)
_UNRESOLVED: Final = 'Could not resolve "'
_MODULES: Final = "node_modules"
_NO_ASSETS: Final = frozenset({*LANGUAGES, ".map"})
_BUILD_FILE: Final = re.compile(
    r"(package(-lock)?|npm-shrinkwrap|[jt]sconfig.*)\.json|yarn\.lock|pnpm-lock\.yaml|\.npmrc"
)
_OWN_PLACE: Final = (b"__dirname", b"__filename", b"import.meta.url")


@dataclass(frozen=True, slots=True)
class Place:
    """Something wrong in a file of the user's; `line` and `column` count from 1, 0 means unknown."""

    file: str | None
    line: int
    column: int
    message: str


class SourceErrors(BuildFailed):
    """The user's code is at fault; the message lists every place."""

    def __init__(self, places: list[Place], folder: Path) -> None:
        shown = [_show(place, folder) for place in places[:_MAX_SHOWN]]
        if len(places) > _MAX_SHOWN:
            shown.append(f"… and {len(places) - _MAX_SHOWN} more errors.")
        super().__init__("\n".join(shown))
        self.places = places


@dataclass(frozen=True, slots=True)
class NodeBundle:
    """A finished bundle: the file to load, and the npm packages that it still imports when it runs.

    `self_reading` are packages that were inlined although they look for files beside their own, which are not there.
    """

    entry: str
    packages: tuple[str, ...]
    self_reading: frozenset[str]


async def bundle_node(
    program: Path,
    *,
    jail: Jail,
    folder: Path,
    entry: str,
    target: Path,
    external: frozenset[str] = frozenset(),
    packages_external: bool = False,
) -> NodeBundle:
    """Bundles `entry` of `folder` into the folder `target`. Raises `SourceErrors`.

    Packages are inlined from `folder/node_modules`, but those in `external`, those that can't be bundled, and with
    `packages_external` all of them. Files that are no code come along, so that the code may read them: then the bundle
    lies where the entry lies.
    """
    assets = await asyncio.to_thread(_find_assets, folder)
    place = target / PurePosixPath(entry).parent if assets else target
    await asyncio.to_thread(target.mkdir, exist_ok=True)
    form: esbuild.Format = "cjs"
    left_out = set(external)
    for _ in range(_MAX_ROUNDS):
        name = "index.cjs" if form == "cjs" else "index.mjs"
        result = await esbuild.bundle(
            program,
            jail=jail,
            folder=folder,
            entry=entry,
            target=target,
            output=place / name,
            format=form,
            external=sorted(left_out),
            packages_external=packages_external,
        )
        if form == "cjs" and any(message.text.startswith(_NEEDS_ESM) for message in result.messages):
            form = "esm"
            continue
        if not result.errors:
            _check_inputs(result, folder)
            await asyncio.to_thread(_finish, place / name, folder, target, assets, result.inputs)
            packages = {found for path in result.imports if (found := package_of(path)) is not None}
            self_reading = await asyncio.to_thread(_self_reading, folder, result.inputs)
            return NodeBundle(str((place / name).relative_to(target)), tuple(sorted(packages)), self_reading)
        unbundled = _unbundled(result.errors)
        if unbundled is None or unbundled <= left_out:
            break
        left_out |= unbundled
    raise await asyncio.to_thread(_source_errors, result.errors, folder)


def _source_errors(errors: Sequence[esbuild.Message], folder: Path) -> SourceErrors:
    return SourceErrors([_place(message, folder) for message in errors], folder)


def _unbundled(errors: tuple[esbuild.Message, ...]) -> set[str] | None:
    """Returns the packages to leave out so that the rest bundles; None when the user's own code is at fault.

    A package that imports what is not installed (an optional companion) keeps that import, to fail or not when it runs.
    """
    names: set[str] = set()
    for message in errors:
        parts = (message.file or "").split("/")
        if _MODULES not in parts:
            return None
        missing = message.text.removeprefix(_UNRESOLVED).partition('"')[0] if _UNRESOLVED in message.text else ""
        owner = parts[parts.index(_MODULES) + 1 :]
        name = package_of(missing) or package_of("/".join(owner))
        if name is None:
            return None
        names.add(name)
    return names


def _check_inputs(result: esbuild.Result, folder: Path) -> None:
    """Refuses a bundle that took in a file from outside of the sources: those are the host's, not the user's."""
    for name in result.inputs:
        if _is_outside(name):
            raise SourceErrors([Place(None, 0, 0, f"The sources import `{name}`, which is outside of them.")], folder)


def _is_outside(name: str) -> bool:
    return PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts


def _find_assets(folder: Path) -> list[PurePosixPath]:
    """Returns the files of the sources that are neither code nor say how to build it."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in _NO_ASSETS)
    names = (PurePosixPath(path.relative_to(folder)) for path in paths)
    return sorted(name for name in names if name.parts[0] != _MODULES and not _BUILD_FILE.fullmatch(name.name))


def _self_reading(folder: Path, inputs: Sequence[str]) -> frozenset[str]:
    """Returns the packages with files in the bundle that speak of the place where they are."""
    names: set[str] = set()
    for name in inputs:
        parts = name.split("/")
        if parts[0] == _MODULES and any(word in (folder / name).read_bytes() for word in _OWN_PLACE):
            package = package_of("/".join(parts[1:]))
            names.update([package] if package is not None else [])
    return frozenset(names)


def _finish(bundle: Path, folder: Path, target: Path, assets: Sequence[PurePosixPath], inputs: Sequence[str]) -> None:
    """Puts the assets beside the bundle and its map, whose names are as if the bundle lay among the sources.

    The map has the content of the files that were bundled, and of no other that an earlier map may name.
    """
    source_map = bundle.with_name(f"{bundle.name}.map")
    for path in bundle.parent.iterdir():
        if path.name not in {bundle.name, source_map.name}:
            path.unlink()
    for asset in assets:
        (target / asset).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / asset, target / asset)
    document: dict[str, Any] = json.loads(source_map.read_bytes())
    here = os.path.relpath(bundle.parent, target)
    places = [os.path.normpath(bundle.parent / name) for name in document["sources"]]
    bundled = {os.path.normpath(folder / name): folder / name for name in inputs}
    document["sources"] = [os.path.relpath(place, folder / here) for place in places]
    document["sourcesContent"] = [
        bundled[place].read_text(encoding="utf-8", errors="replace") if place in bundled else None for place in places
    ]
    source_map.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def _place(message: esbuild.Message, folder: Path) -> Place:
    text = message.text
    if message.file is not None and _is_outside(message.file):
        return Place(None, 0, 0, f"`{message.file}` is outside of the sources.")
    if text.startswith(_UNRESOLVED):
        name = text.removeprefix(_UNRESOLVED).partition('"')[0]
        package = package_of(name)
        if package is None:
            text = f"`{name}` was not found. Check the path; upper and lower case count."
        else:
            text = f"The package `{package}` is not installed. Add it to `dependencies` in package.json."
    if message.file is None:
        return Place(None, 0, 0, text)
    line = _line(folder, message.file, message.line) or ""
    column = len(line.encode()[: message.column].decode(errors="ignore")) + 1
    return Place(message.file, message.line, column, text)


def _line(folder: Path, file: str, number: int) -> str | None:
    """Returns a line of the user's file; None for any other file."""
    path = folder / file
    if _is_outside(file) or not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return lines[number - 1] if 0 < number <= len(lines) else None


def _show(place: Place, folder: Path) -> str:
    if place.file is None:
        return place.message
    shown = f"{place.file}:{place.line}:{place.column}: {place.message}"
    line = _line(folder, place.file, place.line)
    if not line or len(line) > 200:
        return shown
    indent = "".join(letter if letter == "\t" else " " for letter in line[: place.column - 1])
    return f"{shown}\n    {line}\n    {indent}^"


async def inspect_python(folder: Path, entry: str, *, jail: Jail) -> list[str]:
    """Checks every Python file and returns the distributions that are imported. Raises `SourceErrors`."""
    reader = Path(imports_python.__file__)
    program = [PYTHON, "-I", "-S", str(reader), str(folder), entry]
    finished = await jail.run(program, folder=folder, environment={}, access=Access(sources=(folder,), read=(reader,)))
    try:
        report: dict[str, Any] = json.loads(finished.text)
    except ValueError:
        # The parser itself gave up, which takes code that nobody wrote by hand.
        raise BuildFailed(f"Python could not read the sources (it ended with code {finished.code}).") from None
    if report["errors"]:
        raise await asyncio.to_thread(SourceErrors, [Place(**error) for error in report["errors"]], folder)
    return list(report["distributions"])
