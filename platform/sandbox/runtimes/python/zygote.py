"""The zygote: a small, single-threaded process that starts every worker and tells the host how each ended.

It holds no secret and no connection but its control socket (SOCK_SEQPACKET), over which JSON messages travel:

    host   -> {"spawn": id, "cwd": folder, "argv": null or [...], "read": [paths], "data": null or bytes}
              with descriptors: the worker's socket, its output, and any number of cgroup.procs files, into each of
              which the worker enters itself; "data" is its RLIMIT_DATA
    host   -> {"kill": id}                                          SIGKILL for the worker and all that it started
    zygote -> {"ready": 1}                                          everything is loaded
    zygote -> {"spawned": id, "pid": pid}                           as the zygote sees it
    zygote -> {"unborn": id, "error": text}                         there is no such worker and will be none
    zygote -> {"ended": id, "status": exit code, or minus the signal, "peak": most resident memory ever, in KiB}

A worker without `argv` is a fork that goes on in `worker`; with `argv` it becomes that program. `child` is what happens
between. Workers die with the zygote, the zygote when the host closes the socket.

At tiers A and B the zygote is the first process of a pid namespace, and each worker of another below it: the kernel
ends all that a worker started with the worker. Elsewhere it is a matter of the worker's process group, and of orphans,
which come to the zygote as their subreaper.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
from pathlib import Path
from typing import Any, Final, NoReturn

from cloudserve.core.confine import syscalls
from cloudserve.sandbox.runtimes.python.child import Nursery
from cloudserve.sandbox.runtimes.python.settings import Settings

_MAX_MESSAGE: Final = 64 * 1024
_MAX_DESCRIPTORS: Final = 32

_PRELOADED: Final = """
    asyncio base64 bisect calendar collections concurrent.futures contextlib copy csv ctypes dataclasses datetime
    decimal difflib email.message email.parser email.utils enum fractions functools gzip hashlib heapq hmac html
    html.parser http.client http.cookies importlib.metadata inspect io ipaddress itertools json locale logging math
    mimetypes operator pathlib pickle platform pprint queue random re secrets shutil socket sqlite3 ssl statistics
    string struct subprocess tempfile textwrap threading time traceback types typing unicodedata urllib.error
    urllib.parse urllib.request uuid weakref xml.etree.ElementTree zipfile zlib zoneinfo
"""


def main(settings: Settings, registrations: socket.socket | None) -> None:
    """Starts workers until the host closes the control socket."""
    for name in _PRELOADED.split():
        with contextlib.suppress(ImportError):  # an interpreter may be built without some, such as sqlite3
            importlib.import_module(name)
    control = socket.socket(fileno=settings.control)
    _Zygote(control, Nursery(settings, control=control, registrations=registrations)).run()


class _Zygote:
    def __init__(self, control: socket.socket, nursery: Nursery) -> None:
        self._control = control
        self._nursery = nursery
        self._pids: dict[int, int] = {}
        self._ids: dict[int, int] = {}

    def run(self) -> None:
        if not self._nursery.own_pids:
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
            signal.signal(signal.SIGTERM, lambda *_: self._leave())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        gc.collect()
        gc.disable()
        gc.freeze()
        self._tell({"ready": 1})
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if wake_read in ready:
                os.read(wake_read, 4096)
                self._reap()
            if self._control.fileno() in ready:
                self._receive()

    def _receive(self) -> None:
        room = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)
        data, ancillary, _, _ = self._control.recvmsg(_MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
        if not data:
            self._leave()
        message = json.loads(data)
        descriptors = array.array("i")
        for _, _, content in ancillary:
            descriptors.frombytes(content)
        if "spawn" in message:
            self._spawn(message, descriptors.tolist())
        elif "kill" in message:
            self._kill(message["kill"])

    def _spawn(self, message: dict[str, Any], descriptors: list[int]) -> None:
        try:
            pid = self._nursery.fork(message, descriptors)
        except OSError as error:  # no more processes, or no more memory
            self._tell({"unborn": message["spawn"], "error": str(error)})
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._pids[message["spawn"]] = pid
        self._ids[pid] = message["spawn"]
        self._tell({"spawned": message["spawn"], "pid": pid})

    def _kill(self, worker_id: int) -> None:
        pid = self._pids.get(worker_id)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._kill_group(pid)

    def _kill_group(self, pid: int) -> None:
        if not self._nursery.own_pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def _reap(self) -> None:
        reaped = False
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            reaped = True
            worker_id = self._ids.pop(pid, None)
            if worker_id is not None:
                del self._pids[worker_id]
                self._kill_group(pid)
                exit_code = os.waitstatus_to_exitcode(status)
                self._tell({"ended": worker_id, "status": exit_code, "peak": usage.ru_maxrss})
        if reaped and not self._nursery.own_pids:
            self._end_orphans()  # each that ends may leave some of its own

    def _end_orphans(self) -> None:
        for pid in self._children():
            if pid not in self._ids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _children() -> list[int]:
        """Returns the processes that are this one's to collect: its workers, and what lost its parent below it."""
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            self._leave()

    def _leave(self) -> NoReturn:
        """Ends, with all that is below: in a pid namespace the kernel sees to that, elsewhere nobody else would."""
        while not self._nursery.own_pids:
            for pid in self._children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        os._exit(0)
