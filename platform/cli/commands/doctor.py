"""`cloudserve doctor`: what this machine lacks."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal

import typer

from cloudserve.cli import folders, node, pulumi_cli
from cloudserve.cli.commands import new_app
from cloudserve.cli.output import JsonOption, Output, table
from cloudserve.cli.stack import DEFAULT, StackArgument
from cloudserve.cli.stack_file import setting
from cloudserve.cli.walls import walls_line
from cloudserve.core.confine.layers import alike
from cloudserve.core.confine.tiers import Protection, detect
from pulumi_cloudserve.provider import launch, ports

DEFAULT_PORTS: Final = (("port", 7700), ("runPort", 7701))
DEFAULT_MINIMUM: Final = "C"
DISK_MB: Final = 2048

State = Literal["good", "warning", "bad"]

app = new_app()


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what to do when that is not good."""

    name: str
    state: State
    found: str
    remedy: str = ""


@app.command(epilog="Example: cloudserve doctor")
def doctor(name: StackArgument = DEFAULT, as_json: JsonOption = False) -> None:
    """Check what a platform needs of this machine, and say what to do about it.

    The ports and the minimum of the walls are those of the stack's settings. Exits with 1 when something is bad.
    """
    out = Output(as_json)
    checks = [*(check() for check in CHECKS), ports_check(name)]
    checks += walls_checks(detect(), setting(name, "minimumTier") or DEFAULT_MINIMUM)
    rows = [(check.name, check.state, check.found, check.remedy) for check in checks]
    out.result({"checks": [asdict(check) for check in checks]}, table(("CHECK", "STATE", "FOUND", "REMEDY"), rows))
    if any(check.state == "bad" for check in checks):
        raise typer.Exit(1)


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable})"
    return Check("python", "good", found)  # this program would not run otherwise


def _node() -> Check:
    found = node.node_version()
    if found is None:
        return Check("node", "bad", "none", f"{node.REMEDY}.")
    program, version = found
    if not node.is_enough(version):
        return Check("node", "bad", f"{version} ({program})", f"{node.REMEDY}.")
    return Check("node", "good", f"{version} ({program})")


def _pulumi() -> Check:
    cli = pulumi_cli.find()
    if cli is not None:
        return Check("pulumi", "good", str(cli))
    return Check("pulumi", "warning", "none", "Nothing to do: `./cloudserve up` gets it.")


def ports_check(stack: str) -> Check:
    """Returns whether the ports of a stack are free."""
    wanted = [(name, int(setting(stack, name) or usual)) for name, usual in DEFAULT_PORTS]
    host = setting(stack, "host") or "127.0.0.1"
    taken = [
        f"{port} by {ports.holder(port)} (cloudserve:{name})" for name, port in wanted if not ports.is_free(host, port)
    ]
    if not taken:
        return Check("ports", "good", " and ".join(str(port) for _, port in wanted) + " are free")
    remedy = f"Fine if that is your platform. Otherwise end it, or set the port in infra/stacks/Pulumi.{stack}.yaml."
    return Check("ports", "warning", "taken: " + "; ".join(taken), remedy)


def _disk() -> Check:
    folder = folders.data_home()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free // 2**20
    found = f"{free} MiB free for {folders.data_home()}"
    if not os.access(folder, os.W_OK):
        return Check("disk", "bad", f"{folder} can't be written", f"Make {folder} writable, or set XDG_DATA_HOME.")
    if free < DISK_MB:
        return Check("disk", "warning", found, f"Free {DISK_MB} MiB: dependency layers need room.")
    return Check("disk", "good", found)


def _systemd() -> Check:
    if launch.has_systemd():
        return Check("systemd", "good", "the platform runs as a unit of yours and survives a reboot")
    return Check("systemd", "warning", "none for this user", "After a reboot, run `./cloudserve up`.")


def walls_checks(found: Protection, minimum: str) -> Iterator[Check]:
    """Yields the tier of this host, and each layer that is off with what would turn it on."""
    refused = found.tier == "none" or found.tier > minimum
    state: State = "bad" if refused else "warning" if found.tier == "C" else "good"
    remedies = {
        "bad": f"`up` refuses, because cloudserve:minimumTier is {minimum}; turn on what is off below.",
        "warning": "It serves one owner at a time; turn on what is off below to serve many.",
    }
    working = ", ".join(layer.name for layer in found.on) or "nothing"
    yield Check("walls", state, f"{walls_line(found.summary())}; on: {working}", remedies.get(state, ""))
    for names, why, remedy in alike(found.off):
        # What only a stronger tier would use is worth knowing, and no fault of a host that has a good one.
        yield Check("walls", "good" if state == "good" else "warning", f"off: {names}: {why}", remedy)


CHECKS: Final[tuple[Callable[[], Check], ...]] = (_python, _node, _pulumi, _disk, _systemd)
