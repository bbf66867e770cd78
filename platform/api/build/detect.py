"""Finds out what a folder of sources is: its runtime, its language and the file that is loaded."""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cloudserve.core.errors import FieldError, Problem, invalid
from cloudserve.core.models.function import Language, Runtime

LANGUAGES: Final[dict[str, Language]] = {
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "typescript",
    ".py": "python",
}
NODE_ENTRIES: Final = ("index.ts", "index.mts", "index.js", "index.mjs", "index.cjs")
PYTHON_ENTRIES: Final = ("main.py", "handler.py", "function.py", "app.py", "lambda_function.py")

_REMEDY: Final = "Set `entry` to the file that holds the handler."


@dataclass(frozen=True, slots=True)
class Detected:
    """What the sources are; `entry` is relative to their folder, with `/` between its parts."""

    runtime: Runtime
    language: Language
    entry: str


def runtime_of(language: Language) -> Runtime:
    """Returns the runtime that runs a language."""
    return "python" if language == "python" else "node"


def has_file(folder: Path, name: str) -> bool:
    """Tells whether a folder has a file of this relative name; no file has a name that is none."""
    try:
        return (folder / name).is_file()
    except OSError:  # such as one that is too long
        return False


def detect(folder: Path, *, runtime: Runtime | None = None, entry: str | None = None) -> Detected:
    """Looks at the sources. What the user states wins. Raises the 422 that names `entry` or `runtime`."""
    if entry is not None:
        return _stated(folder, runtime, entry)
    found = {"node": _node_entry(folder), "python": _first(folder, PYTHON_ENTRIES)}
    if runtime is None and found["node"] and found["python"]:
        # A manifest tells which of the two is the function and which a helper.
        has_node = (folder / "package.json").is_file()
        has_python = any((folder / name).is_file() for name in ("requirements.txt", "pyproject.toml"))
        if has_node == has_python:
            message = f"Both `{found['node']}` and `{found['python']}` could be the function."
            raise invalid(FieldError("entry", message, None, _REMEDY))
        runtime = "node" if has_node else "python"
    chosen = found[runtime] if runtime else found["node"] or found["python"]
    return _known(chosen or _single(folder, runtime))


def _known(entry: str) -> Detected:
    language = LANGUAGES[PurePosixPath(entry).suffix]
    return Detected(runtime_of(language), language, entry)


def _stated(folder: Path, runtime: Runtime | None, entry: str) -> Detected:
    path = PurePosixPath(entry)
    if not entry or path.is_absolute() or ".." in path.parts or "\\" in entry or not entry.isprintable():
        message = "The entry is no path inside of the sources."
        raise invalid(FieldError("entry", message, "a relative path", "Name a file such as `src/index.ts`."))
    if path.suffix not in LANGUAGES:
        endings = " ".join(LANGUAGES)
        message = f"The entry `{entry}` has no known ending."
        raise invalid(FieldError("entry", message, endings, "Name a JavaScript, TypeScript or Python file."))
    if not has_file(folder, entry):
        message = f"The sources hold no file `{entry}`."
        raise invalid(FieldError("entry", message, None, "Name a file that is there; upper and lower case count."))
    detected = _known(str(path))
    if runtime not in {None, detected.runtime}:
        message = f"The entry `{entry}` is not for the runtime `{runtime}`."
        raise invalid(FieldError("runtime", message, None, f"Leave `runtime` out, or set it to `{detected.runtime}`."))
    return detected


def _node_entry(folder: Path) -> str | None:
    main = _package_main(folder / "package.json")
    if main is not None:
        # `main` may leave the ending out, name a folder, or name what a compiler would have made from index.ts.
        candidates = (main, *(f"{main}{ending}" for ending in LANGUAGES), *(f"{main}/{name}" for name in NODE_ENTRIES))
        for candidate in candidates:
            suffix = PurePosixPath(candidate).suffix
            if suffix in LANGUAGES and suffix != ".py" and has_file(folder, candidate):
                return candidate
    return _first(folder, NODE_ENTRIES)


def _package_main(manifest: Path) -> str | None:
    try:
        main = json.loads(manifest.read_bytes()).get("main")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None  # the dependencies' reader says what is wrong with it
    if not isinstance(main, str) or not main.strip() or not main.isprintable():
        return None
    path = PurePosixPath(main)
    return None if path.is_absolute() or ".." in path.parts else str(path)


def _first(folder: Path, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if (folder / name).is_file()), None)


def _single(folder: Path, runtime: Runtime | None) -> str:
    sources = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file()
        and path.suffix in LANGUAGES
        and not path.name.endswith(".d.ts")
        and runtime in {None, runtime_of(LANGUAGES[path.suffix])}
    )
    if len(sources) == 1:
        return sources[0]
    raise _unknown(sources, runtime)


def _unknown(sources: list[str], runtime: Runtime | None) -> Problem:
    if sources:
        shown = ", ".join(f"`{name}`" for name in sources[:5])
        message = f"Which file is loaded can't be told from {shown}."
    elif runtime:
        message = f"The sources hold no file for the runtime `{runtime}`."
    else:
        message = "The sources hold no JavaScript, TypeScript or Python file at their top."
    known = ", ".join((*NODE_ENTRIES, *PYTHON_ENTRIES))
    return invalid(FieldError("entry", message, None, f"{_REMEDY} Found by themselves: {known}."))
