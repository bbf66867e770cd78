"""Starts the processes behind a sandbox: `python -I -S boot.py CONTROL_FD`.

The first message over the socket CONTROL_FD is `settings.Settings` as JSON: a command line is for every worker to read.

The platform is no installed package for this interpreter (`-I -S`), so its import name is made here, by hand, and it
is taken away again once everything is loaded: user code finds nothing of the platform.
"""

import socket
import sys
import types
from pathlib import Path
from typing import Final

_MAX_SETTINGS: Final = 64 * 1024


def main() -> None:
    root = types.ModuleType("cloudserve")
    root.__path__ = [str(Path(__file__).parents[3])]
    sys.modules["cloudserve"] = root
    from cloudserve.sandbox.runtimes.python.settings import Settings  # noqa: PLC0415 - the line above makes it importable

    control = socket.socket(fileno=int(sys.argv.pop()))
    settings = Settings.from_json(control.recv(_MAX_SETTINGS).decode())
    control.detach()
    registrations = None
    if settings.tier != "none":
        from cloudserve.sandbox.warden import fork  # noqa: PLC0415 - of Linux

        registrations = fork.divide(settings, forget_the_platform)  # returns in the child alone, the zygote to be
    from cloudserve.sandbox.runtimes.python import zygote  # noqa: PLC0415 - what a zygote loads is no warden's

    forget_the_platform()
    zygote.main(settings, registrations)


def forget_the_platform() -> None:
    """Leaves no name by which the platform's modules could be had; what is loaded goes on working.

    Here, and not in each worker: what is let go of after a fork has its memory copied first.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] == "cloudserve"]:
        del sys.modules[name]


if __name__ == "__main__":
    main()
