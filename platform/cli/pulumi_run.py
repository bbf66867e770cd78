"""Running the Pulumi CLI, and leaving nothing behind however it ends.

The CLI, not the Automation API: what runs is exactly what a user would run after `eval "$(./cloudserve env)"`, with
Pulumi's own progress display, and no half second goes into importing the SDK.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psutil

_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
_NOISE: Final = re.compile(r"^$|^@ | refresh(ing)? \(| running$|ing \(\d+s\)$|^ {4}\S+:\S+ \S+$")
"""Rows of what is only looked at, has just begun or stays as it is."""


def captured(command: Sequence[str], *, cwd: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Runs Pulumi quietly and returns what it said."""
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)  # noqa: S603


def shown(command: Sequence[str], *, cwd: Path, env: dict[str, str]) -> int:
    """Runs Pulumi for a person to watch, on standard error, and returns its exit code.

    On a terminal Pulumi shows its own display; elsewhere the lines that say nothing new are left out.
    """
    on_terminal = on_a_terminal()
    with _adopting_orphans():
        process = subprocess.Popen(  # noqa: S603 - the Pulumi CLI
            command,
            cwd=cwd,
            env=env,
            stdin=None if on_terminal else subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if on_terminal else subprocess.PIPE,
            stderr=None if on_terminal else subprocess.STDOUT,
            text=True,
        )
        with _passing_on_signals(process):
            if process.stdout is not None:
                for line in process.stdout:
                    if not _NOISE.search(line.rstrip()):
                        sys.stderr.write(line)
                        sys.stderr.flush()
            return process.wait()


def on_a_terminal() -> bool:
    """Tells whether Pulumi can show its own display."""
    return sys.stdin.isatty() and sys.stderr.isatty()


@contextlib.contextmanager
def _passing_on_signals(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Lets Pulumi end the update in order: Ctrl-C reaches it by itself, what ends us becomes a Ctrl-C for it."""

    def interrupt(_number: int, _frame: object) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt),
        signal.SIGHUP: signal.signal(signal.SIGHUP, interrupt),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Ends what a killed Pulumi left: its language host and plugins, which become our children."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        session = os.getsid(0)
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getsid(process.pid) == session:  # a supervisor has a session of its own, and stays
                    process.kill()
