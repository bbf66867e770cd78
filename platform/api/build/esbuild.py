"""Calls esbuild: its arguments, and what it reports, as values.

esbuild is a native program that ends within milliseconds, so each call is a process of its own. It prints its messages
as text; they are read back here, and the line at fault comes from the file itself.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from cloudserve.api.build.failure import BuildFailed
from cloudserve.api.build.jail import Access, Jail

Format = Literal["cjs", "esm"]

TARGET: Final = "node20"
_MESSAGE: Final = re.compile(r"^(✘ \[ERROR\]|▲ \[WARNING\]) (.*)$")
_LOCATION: Final = re.compile(r"^    (.+):(\d+):(\d+):$")
_IMPORT_META_URL: Final = "__cloudserve_import_meta_url"
_BANNERS: Final[dict[Format, str]] = {
    # What a module of its kind is given by Node, and a bundle of the other kind would miss.
    "cjs": f'const {_IMPORT_META_URL} = require("node:url").pathToFileURL(__filename).href;',
    "esm": (
        'import { createRequire as __cloudserve_createRequire } from "node:module"; '
        'import { fileURLToPath as __cloudserve_fileURLToPath } from "node:url"; '
        "globalThis.require ??= __cloudserve_createRequire(import.meta.url); "
        "globalThis.__filename ??= __cloudserve_fileURLToPath(import.meta.url); "
        'globalThis.__dirname ??= __cloudserve_fileURLToPath(new URL(".", import.meta.url)).replace(/.$/, "");'
    ),
}
_ARGUMENTS: Final = (
    "--bundle",
    "--platform=node",
    f"--target={TARGET}",
    "--keep-names",
    "--preserve-symlinks",
    "--sourcemap=linked",
    # Else esbuild reads what a source map of the user's names as its sources, wherever on this host that is.
    "--sources-content=false",
    "--legal-comments=none",
    "--charset=utf8",
    "--log-level=warning",
    "--log-limit=0",
    "--color=false",
)
_CJS_ARGUMENTS: Final = (
    f"--define:import.meta.url={_IMPORT_META_URL}",
    "--define:import.meta.filename=__filename",
    "--define:import.meta.dirname=__dirname",
)


@dataclass(frozen=True, slots=True)
class Message:
    """One error or warning; `line` counts from 1, `column` from 0 in bytes, as esbuild does."""

    is_error: bool
    text: str
    file: str | None = None
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a call: the files that were read, and the imports that were left in the bundle, as written."""

    messages: tuple[Message, ...]
    inputs: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Message, ...]:
        """The messages that made it fail."""
        return tuple(message for message in self.messages if message.is_error)


async def bundle(
    program: Path,
    *,
    jail: Jail,
    folder: Path,
    entry: str,
    target: Path,
    output: Path,
    format: Format,  # noqa: A002 - esbuild's own word
    external: Sequence[str] = (),
    packages_external: bool = False,
) -> Result:
    """Bundles `entry` of `folder` into the file `output` in the folder `target`, with its source map beside it.

    It reads `folder` and the packages that are linked there, and writes to `target` alone.
    """
    metafile = output.with_name("metafile.json")
    arguments: list[str | Path] = [
        program,
        f"./{entry}",
        f"--format={format}",
        f"--banner:js={_BANNERS[format]}",
        f"--outfile={output}",
        f"--metafile={metafile}",
        *_ARGUMENTS,
        *(_CJS_ARGUMENTS if format == "cjs" else ()),
        *(["--packages=external"] if packages_external else []),
        *(f"--external:{name}" for name in external),
    ]
    if not await asyncio.to_thread(_has_tsconfig, folder):
        # Otherwise esbuild looks for one in every folder above.
        arguments.append("--tsconfig-raw={}")
    modules = (folder / "node_modules").resolve()
    access = Access(write=(target,), sources=(folder,), read=(program, *([modules] if modules.is_dir() else [])))
    finished = await jail.run(arguments, folder=folder, environment={}, access=access)
    messages = read_messages(finished.text)
    if finished.code != 0:
        if not any(message.is_error for message in messages):
            # Go's runtime writes pages about each of its threads after the first line.
            first = finished.text.strip().partition("\n")[0][:200]
            raise BuildFailed(f"The sources could not be bundled: esbuild ended with code {finished.code} ({first}).")
        return Result(messages)
    return await asyncio.to_thread(_result, messages, metafile)


def _has_tsconfig(folder: Path) -> bool:
    return next(folder.glob("**/tsconfig.json"), None) is not None


def _result(messages: tuple[Message, ...], metafile: Path) -> Result:
    meta: dict[str, Any] = json.loads(metafile.read_bytes())
    metafile.unlink()
    # Not what the inputs import: that has the types of TypeScript too, which nothing of the bundle asks for.
    imports = (found["path"] for output in meta["outputs"].values() for found in output["imports"])
    return Result(messages, tuple(meta["inputs"]), tuple(imports))


def read_messages(text: str) -> tuple[Message, ...]:
    """Reads esbuild's messages back from what it printed."""
    messages: list[Message] = []
    located = True
    for line in text.splitlines():
        head = _MESSAGE.match(line)
        if head is not None:
            messages.append(Message(head[1].startswith("✘"), head[2]))
            located = False
            continue
        place = _LOCATION.match(line)
        if place is not None and not located:
            last = messages[-1]
            messages[-1] = Message(last.is_error, last.text, place[1], int(place[2]), int(place[3]))
            located = True
    return tuple(messages)
