"""Runs code behind the filter of a worker, and the supervisor in front of it, with real sockets and processes."""

import os
import pickle
import select
import signal
import socket
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from cloudserve.core.confine.egress.policy import Refusal, Rules, parse_permitted
from cloudserve.core.confine.egress.resolvers import Resolvers
from cloudserve.core.confine.egress.supervisor import Supervisor
from cloudserve.core.confine.seccomp import install, worker_filter
from cloudserve.core.confine.syscalls import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    drop_capabilities,
    map_own_user,
    mount,
    unshare,
)

Walls = Literal["A", "B", "C", "C without pidfd_getfd"]
WALLS: tuple[Walls, ...] = ("A", "B", "C", "C without pidfd_getfd")

LOOPBACK = ("127.0.0.0/8", "::1")
"""What the platform permits in most tests, so that servers of the test are reached."""


@dataclass
class Behind:
    """A supervisor and what it has refused. `run` may be called several times, each in a worker of its own."""

    walls: Walls = "C"
    rules: Rules = field(default_factory=lambda: Rules("public"))
    permitted: Sequence[str] = LOOPBACK
    resolvers: Resolvers | None = None
    resolv_conf: Path | None = None
    refusals: list[Refusal] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.supervisor = Supervisor(
            on_refused=self.refusals.append,
            permitted=parse_permitted(self.permitted),
            resolvers=self.resolvers,
            keeps_sockets=self.walls == "C without pidfd_getfd",
        )
        self._workers = 0
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.close()

    def run(self, work: Callable[[], Any]) -> Any:
        """Returns what `work` returned behind the walls; raises what it raised."""
        read_end, pid = self.start(work)
        return self.result(read_end, pid)

    def start(self, work: Callable[[], Any]) -> tuple[int, int]:
        """Starts a worker, and returns where its result will come from and its pid."""
        ours, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become_worker(work, theirs, write_end)
        theirs.close()
        os.close(write_end)
        with ours:
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
            self._workers += 1
            self.supervisor.add(self._workers, descriptors[0])
            self.supervisor.allow(self._workers, self.rules)
            ours.send(b"g")
        return read_end, pid

    def result(self, read_end: int, pid: int) -> Any:
        """Serves until a worker has ended, and returns its result."""
        data = self.serve_until_read(read_end)
        _, status = os.waitpid(pid, 0)
        self.settle()
        if not data:
            raise AssertionError(f"the worker said nothing and ended with {os.waitstatus_to_exitcode(status)}")
        worked, result = pickle.loads(data)
        if not worked:
            raise result
        return result

    def serve_until_read(self, read_end: int) -> bytes:
        """Takes turns until the other end of a pipe is closed."""
        parts = []
        with os.fdopen(read_end, "rb", buffering=0) as stream:
            while True:
                ready = self.turn(stream.fileno())
                if stream.fileno() in ready:
                    parts.append(stream.read(65536))
                    if not parts[-1]:
                        return b"".join(parts)

    def turn(self, *others: int, seconds: float = 20, may_be_idle: bool = False) -> list[int]:
        """Waits until there is something to do, does it, and returns which of the others are readable."""
        timeout = self.supervisor.timeout()
        wait = seconds if timeout is None else min(timeout, seconds)
        ready, _, _ = select.select([self.supervisor.fileno(), *others], [], [], wait)
        assert ready or timeout is not None or may_be_idle, "nothing has happened for a long time"
        self.supervisor.turn()
        return ready

    def settle(self) -> None:
        """Lets the supervisor do what is left to do now."""
        while select.select([self.supervisor.fileno()], [], [], 0)[0]:
            self.supervisor.turn()

    def _become_worker(self, work: Callable[[], Any], channel: socket.socket, write_end: int) -> None:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            if self.walls == "A":
                unshare(CLONE_NEWNET)
            elif self.walls == "B":
                uid, gid = os.geteuid(), os.getegid()
                unshare(CLONE_NEWUSER | CLONE_NEWNET)
                map_own_user(uid, gid, inner_uid=65534, inner_gid=65534)
            if self.resolv_conf is not None:
                unshare(CLONE_NEWNS)
                mount(None, "/", None, MS_REC | MS_PRIVATE)
                mount(str(self.resolv_conf), "/etc/resolv.conf", None, MS_BIND)
            drop_capabilities()
            own_network = self.walls == "C"
            listener = install(
                worker_filter(supervised=("connect",) if own_network else ("socket", "connect")), listener=True
            )
            socket.send_fds(channel, [b"l"], [listener])
            channel.recv(1)
            os.close(listener)
            channel.close()
            try:
                outcome = (True, work())
            except BaseException as error:  # noqa: BLE001 - all of it is the parent's to judge
                error.add_note("".join(traceback.format_exception(error)))
                outcome = (False, error)
            with os.fdopen(write_end, "wb") as stream:
                stream.write(pickle.dumps(outcome))
            os._exit(0)
        except BaseException:  # noqa: BLE001 - nothing may climb into the test
            traceback.print_exc()
        finally:
            os._exit(1)
