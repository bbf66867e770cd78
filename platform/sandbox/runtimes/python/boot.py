"""Starts the zygote: `python -I -S boot.py CONTROL_FD`.

The platform is no installed package for this interpreter (`-I -S`), so its import name is made here, by hand, and its
search path is taken away again once everything is loaded: user code finds nothing of the platform.
"""

import sys
import types
from pathlib import Path


def main() -> None:
    root = types.ModuleType("cloudserve")
    root.__path__ = [str(Path(__file__).parents[3])]
    sys.modules["cloudserve"] = root
    from cloudserve.sandbox.runtimes.python import zygote  # noqa: PLC0415 - the line above makes it importable

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "cloudserve" and hasattr(module, "__path__"):
            module.__path__ = []
    zygote.main(int(sys.argv[1]))


if __name__ == "__main__":
    main()
