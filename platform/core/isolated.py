"""Runs a module of the platform in an isolated interpreter: `python -I -S isolated.py MODULE [ARGUMENT ...]`.

Such an interpreter sees no environment, no current folder and no site-packages, so the platform is no installed package
for it: its import name is made here, by hand. The module's `main` is called and finds its arguments in `sys.argv`.
"""

import importlib
import sys
import types
from pathlib import Path


def command(python: str | Path, module: str, *arguments: str) -> list[str]:
    """Returns the command line that runs a module, named in full."""
    return [str(python), "-I", "-S", "-X", "utf8", __file__, module, *arguments]


def main() -> None:
    """Runs the module that the command line names."""
    package = types.ModuleType("cloudserve")
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules["cloudserve"] = package
    importlib.import_module(sys.argv.pop(1)).main()


if __name__ == "__main__":
    main()
