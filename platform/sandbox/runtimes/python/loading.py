"""Loads a function's module and says what that cost."""

import builtins
import importlib
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self

_SLOWEST: Final = 5


def load(code: Path, entry: str, layer: Path | None) -> tuple[ModuleType, list[tuple[str, float]]]:
    """Loads the entry file and returns its module with the slowest imports, in milliseconds, slowest first."""
    file = code / entry
    paths = [str(file.parent)]
    if file.parent != code:
        paths.append(str(code))
    if layer is not None:
        paths.append(str(layer))
    sys.path[:0] = paths
    _forget_shadowed(file.parent)
    importlib.invalidate_caches()
    with _ImportTimes() as times:
        module = _load_file(code, file)
    return module, times.slowest()


def _load_file(code: Path, file: Path) -> ModuleType:
    folders = file.relative_to(code).parts[:-1]
    if folders and (file.parent / "__init__.py").exists():
        return importlib.import_module(".".join((*folders, file.stem)))
    name = file.stem if file.stem not in sys.modules else f"__{file.stem}__"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _forget_shadowed(folder: Path) -> None:
    """Lets the function's own modules win over preloaded ones of the same name, as in any Python program."""
    for path in folder.iterdir():
        if path.suffix == ".py" or path.is_dir():
            sys.modules.pop(path.stem, None)


class _ImportTimes:
    """Times the first import of each top-level module, what it imports included."""

    def __init__(self) -> None:
        self._taken: dict[str, float] = {}
        self._plain = builtins.__import__

    def __enter__(self) -> Self:
        builtins.__import__ = self._timed
        return self

    def __exit__(self, *_: object) -> None:
        builtins.__import__ = self._plain

    def slowest(self) -> list[tuple[str, float]]:
        return sorted(self._taken.items(), key=lambda item: -item[1])[:_SLOWEST]

    def _timed(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:  # noqa: A002 - the signature of __import__
        top = name.partition(".")[0]
        if level or top in sys.modules:
            return self._plain(name, globals, locals, fromlist, level)
        begin = time.perf_counter()
        try:
            return self._plain(name, globals, locals, fromlist, level)
        finally:
            self._taken[top] = round((time.perf_counter() - begin) * 1000, 3)
