"""The warden's loop: one thread that waits for the host, for workers that register, and for what workers ask.

Messages, JSON over SOCK_SEQPACKET:

    host   -> {"admit": id, "trees": [[folder, place], ...], "egress": {"mode": ..., "allow": [...]}}
    worker -> {"register": id, "walls": ms}       with two descriptors: a pidfd of itself, its seccomp listener
    warden -> {"registered": id, "pid": pid, "walls": ms}
    warden -> {"admitted": id}                    its trees are mounted and its egress rules hold
    warden -> {"failed": id, "error": text}       an admission that came to nothing
    warden -> {"refused": id, "address": text, "port": number, "rule": text, "remedy": text}   a connection, or a name

A worker that was not admitted reaches nothing. A worker's end is seen on its pidfd, and all that was kept for it goes.
The supervisor of connections has a loop of its own inside this one.
"""

import array
import contextlib
import json
import os
import resource
import select
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from cloudserve.core.confine.egress.policy import Refusal, Rules, parse_permitted
from cloudserve.core.confine.egress.supervisor import Supervisor
from cloudserve.sandbox.runtimes.python.settings import Settings
from cloudserve.sandbox.warden.mounts import Mounter

_MAX_MESSAGE: Final = 256 * 1024
_DESCRIPTORS: Final = 2
_MOST_UNSENT: Final = 10_000


@dataclass(slots=True)
class _Worker:
    pidfd: int
    admitted: bool = False


class Warden:
    """Runs until the host closes its socket, or the zygote, its child of this pid, ends; each takes the other along."""

    def __init__(self, settings: Settings, *, registrations: socket.socket, zygote: int, ending: int) -> None:
        self._zygote = zygote
        self._host = socket.socket(fileno=settings.warden)
        self._host.setblocking(False)
        self._registrations = registrations
        self._registrations.setblocking(False)
        self._mounter = Mounter() if settings.tier in ("A", "B") else None
        self._workers: dict[int, _Worker] = {}
        self._unsent: deque[bytes] = deque()
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._watch(self._host.fileno(), self._on_host)
        self._watch(registrations.fileno(), self._on_registration)
        self._ending = ending
        self._watch(os.pidfd_open(zygote), lambda _events: self._end())
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # it holds some for every worker that connects
        self._supervisor = Supervisor(
            on_refused=self._refused,
            permitted=parse_permitted(settings.egress_allow),
            keeps_sockets=settings.keeps_sockets,
        )
        self._watch(self._supervisor.fileno(), lambda _events: None)

    def run(self) -> None:
        """Serves; never returns."""
        while True:
            for descriptor, events in self._poll.poll(self._supervisor.timeout()):
                handler = self._handlers.get(descriptor)
                if handler is not None:  # else closed by one that came before
                    handler(events)
            self._supervisor.turn()

    def _watch(self, descriptor: int, handler: Callable[[int], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    def _unwatch(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._poll.unregister(descriptor)

    def _end(self) -> NoReturn:
        """Ends the zygote, with all that is below it, and then this process: so that who waits for it finds neither."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._zygote, self._ending)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._zygote, 0)
        os._exit(0)

    # -- the host ------------------------------------------------------------------------------------------------

    def _on_host(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send_unsent()
        if events & ~select.EPOLLOUT:
            with contextlib.suppress(BlockingIOError):
                data = self._host.recv(_MAX_MESSAGE)
                if not data:
                    self._end()
                self._admit(json.loads(data))

    def _admit(self, message: dict[str, Any]) -> None:
        worker_id = message["admit"]
        try:
            worker = self._workers.get(worker_id)
            if worker is None or worker.admitted:
                raise ProcessLookupError(f"worker {worker_id} is not there to be admitted")
            egress = message["egress"]
            rules = Rules.parse(egress["mode"], egress["allow"])
            if self._mounter is not None:
                self._mounter.mount(worker.pidfd, [(source, place) for source, place in message["trees"]])
            self._supervisor.allow(worker_id, rules)
            worker.admitted = True
        except (OSError, ValueError) as error:
            self._tell({"failed": worker_id, "error": str(error)})
        else:
            self._tell({"admitted": worker_id})

    def _refused(self, refusal: Refusal) -> None:
        fields = asdict(refusal)
        self._tell({"refused": fields.pop("worker_id"), **fields})

    def _tell(self, message: dict[str, Any]) -> None:
        self._unsent.append(json.dumps(message).encode())
        if len(self._unsent) > _MOST_UNSENT:  # a host that reads nothing any more
            self._end()
        self._send_unsent()

    def _send_unsent(self) -> None:
        try:
            while self._unsent:
                self._host.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._poll.modify(self._host.fileno(), select.EPOLLIN | select.EPOLLOUT)
        except OSError:
            self._end()
        else:
            self._poll.modify(self._host.fileno(), select.EPOLLIN)

    # -- workers -------------------------------------------------------------------------------------------------

    def _on_registration(self, _events: int) -> None:
        room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
        data, ancillary, _, _ = self._registrations.recvmsg(_MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
        if not data:  # the zygote and all workers have ended
            self._end()
        descriptors = array.array("i")
        for _, _, content in ancillary:
            descriptors.frombytes(content)
        pidfd, listener = descriptors
        message = json.loads(data)
        worker_id = message["register"]
        self._supervisor.add(worker_id, listener)
        self._workers[worker_id] = _Worker(pidfd)
        self._watch(pidfd, lambda _events: self._on_ended(worker_id))
        self._tell({"registered": worker_id, "pid": _pid_of(pidfd), "walls": message["walls"]})

    def _on_ended(self, worker_id: int) -> None:
        worker = self._workers.pop(worker_id)
        self._unwatch(worker.pidfd)
        os.close(worker.pidfd)


def _pid_of(pidfd: int) -> int:
    """Returns the pid in the warden's own pid namespace, which is the host's; -1 when the process has ended."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text("ascii").splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    return -1
