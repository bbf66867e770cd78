"""Starts the processes behind a sandbox; run by `isolated`, with the number of a descriptor, CONTROL.

The first message over the socket CONTROL is `settings.Settings` as JSON: a command line is for every worker to read.

The platform's import name is taken away once everything is loaded: user code finds nothing of the platform.
"""

import socket
import sys
from typing import Final

from cloudserve.sandbox.runtimes.python.settings import Settings

_MAX_SETTINGS: Final = 64 * 1024


def main() -> None:
    """Divides into the warden and the zygote, or is the zygote alone, and never returns."""
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
