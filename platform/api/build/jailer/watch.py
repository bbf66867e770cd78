"""One run: the order is read, the tool forked off and walled off, watched, and ended with all that it has started.

The order is one line of JSON on the link (`jail.py` makes it). When the link ends, whoever gave the order is gone or
has given up, and everything is killed. What befalls the run is told on the link, a JSON document a line: `jailer`, the
process to kill if all else fails; `refused`, a place that was not reached; `limit`, a bound that was passed; `failed`,
why there are no walls; and at last `exit`, the tool's code, or 128 and the number of the signal that ended it.

At tiers A and B the tool is the first process of a process namespace, so nothing outlives it. At tier C what it leaves
behind falls to this process, which kills it.
"""

import contextlib
import json
import os
import select
import signal
import socket
import traceback
from typing import Any, Final, NoReturn

from cloudserve.api.build.jailer.connections import Found, look_up, supervise
from cloudserve.api.build.jailer.inside import WALLED, become_the_tool, give_away
from cloudserve.api.build.jailer.usage import Usage, descendants
from cloudserve.core.confine import syscalls as linux
from cloudserve.core.confine.egress.supervisor import Supervisor
from cloudserve.core.confine.walls import own_user_namespace

_LINK: Final = 0
_LOOK_MS: Final = 250
_MAX_MESSAGE: Final = 8192
_KILLED: Final = 128 + signal.SIGKILL


def run() -> NoReturn:
    """Does all of it on the descriptors 0, the link, and 1, the tool's output."""
    try:
        _tell({"jailer": os.getpid()})
        code = _run(json.loads(_read_order()))
        _tell({"exit": code})
    except BaseException:  # noqa: BLE001 - this is where a jailer's own errors end
        with contextlib.suppress(OSError):
            _tell({"failed": traceback.format_exc()})
    finally:
        _end_all()
        os._exit(0)


def _run(order: dict[str, Any]) -> int:
    """Returns the exit code."""
    tier = order["tier"]
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    if tier == "B":
        own_user_namespace()
    if tier != "C":
        linux.unshare(linux.CLONE_NEWPID)
    found = look_up(order["hosts"])
    if tier != "C":
        order["root"]["files"]["/etc/hosts"] += found.lines
    if tier == "A":
        give_away(order["own"], order["uid"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    tool = os.fork()
    if tool == 0:
        ours.close()
        become_the_tool(order, theirs)
    theirs.close()
    os.close(1)
    try:
        return _Watch(tool, ours, order, found).run()
    finally:
        _end_all()


class _Watch:
    """Waits beside a tool for whatever comes first."""

    def __init__(self, tool: int, child: socket.socket, order: dict[str, Any], found: Found) -> None:
        self._tool = tool
        self._child = child
        self._usage = Usage(order["write"], order["bounds"])
        self._found = found
        self._keeps_sockets = order["keeps_sockets"]
        self._supervisor: Supervisor | None = None
        self._waiting = select.poll()

    def run(self) -> int:
        """Returns the exit code: the tool has ended, the link has, or a bound is passed."""
        ended = os.pidfd_open(self._tool)
        for descriptor in (_LINK, ended, self._child.fileno()):
            self._waiting.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in self._waiting.poll(self._patience_ms())}
            if self._supervisor is not None:
                self._supervisor.turn()
            if self._child.fileno() in ready and not self._hear():
                self._waiting.unregister(self._child.fileno())
            if ended in ready:
                code = os.waitstatus_to_exitcode(os.waitpid(self._tool, 0)[1])
                return code if code >= 0 else 128 - code
            if _LINK in ready:
                return _KILLED
            passed = self._usage.passed()
            if passed is not None:
                _tell({"limit": passed})
                return _KILLED

    def _patience_ms(self) -> float:
        due = None if self._supervisor is None else self._supervisor.timeout()
        return _LOOK_MS if due is None else min(_LOOK_MS, due * 1000)

    def _hear(self) -> bool:
        """Takes what the child says until it has become the tool; False from then on."""
        said, descriptors, _, _ = socket.recv_fds(self._child, _MAX_MESSAGE, 1)
        if said == WALLED:
            self._supervise(descriptors[0])
            self._child.send(b".")
        elif said:
            _tell({"failed": said.decode("utf-8", "replace")})
        return bool(said)

    def _supervise(self, listener: int) -> None:
        """Answers for the tool's connections. Where it may make none nobody does, and all fail (seccomp_unotify(2))."""
        if not self._found.hosts:
            os.close(listener)
            return
        self._supervisor = supervise(
            self._found, listener, lambda place: _tell({"refused": place}), keeps_sockets=self._keeps_sockets
        )
        self._waiting.register(self._supervisor.fileno(), select.POLLIN)


def _end_all() -> None:
    """Kills whatever is left. What has lost its parent falls to this process, so each round finds what is left."""
    while True:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _tell(document: dict[str, Any]) -> None:
    os.write(_LINK, json.dumps(document).encode() + b"\n")


def _read_order() -> bytes:
    order = b""
    while not order.endswith(b"\n"):
        chunk = os.read(_LINK, 1 << 20)
        if not chunk:
            os._exit(0)
        order += chunk
    return order
