"""This host: its walls, its work folder, and workers on it."""

import logging
import shutil
from pathlib import Path

import psutil

from cloudserve.core.config import MEBIBYTE, DataFolder, Settings
from cloudserve.core.confine.layers import alike
from cloudserve.core.confine.minimum import require
from cloudserve.core.confine.tiers import Protection, detect
from cloudserve.sandbox.abc import Sandbox
from cloudserve.sandbox.claims import ClaimedSandbox
from cloudserve.sandbox.pool import LocalSandbox
from cloudserve.sandbox.turnstile import Turnstile

_log = logging.getLogger(__name__)


def walls(settings: Settings) -> Protection:
    """Returns what walls this host gives, and logs them. Raises `TooWeak` when the settings ask for stronger ones."""
    protection = detect()
    log_walls(protection)
    require(protection, "none" if settings.unsafe_without_walls else settings.minimum_tier)
    return protection


def log_walls(protection: Protection) -> None:
    """Tells the tier, what is on, and of what is off why and what would help."""
    _log.info("walls: tier %s, %s", protection.tier, protection.title)
    _log.info("walls: on are %s", ", ".join(layer.name for layer in protection.on) or "none")
    for names, why, remedy in alike(protection.off):
        _log.info("walls: off: %s: %s. Remedy: %s", names, why, remedy)
    if protection.tier == "none":
        _log.warning("walls: there are none; functions can read and do what this user can. Development only")


def local_sandbox(settings: Settings, folder: DataFolder, protection: Protection) -> Sandbox:
    """Returns the sandbox of this host: at tier C one that serves one owner at a time."""

    def local() -> LocalSandbox:
        return LocalSandbox(
            work_dir=folder.work / "sandbox",
            max_workers=settings.max_workers,
            idle_seconds=settings.idle_seconds,
            queue_seconds=settings.queue_seconds,
            max_response_bytes=settings.max_response_mb * MEBIBYTE,
            bounds=settings.bounds(),
            egress_allow=settings.egress_permitted(),
            protection=protection,
        )

    if protection.tier != "C":
        return local()
    turnstile = Turnstile(folder.run / "turnstile")
    return ClaimedSandbox(local, turnstile=turnstile, queue_seconds=settings.queue_seconds)


def make_work_folder(own: Path) -> None:
    """Makes this process's work folder, and removes those that dead processes left."""
    own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in own.parent.iterdir():
        if left == own or not (left.name.isdigit() and psutil.pid_exists(int(left.name))):
            shutil.rmtree(left, ignore_errors=True)
    own.mkdir(mode=0o700)
