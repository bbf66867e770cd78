"""The zygote: a small, single-threaded process that starts every worker and tells the host how each ended.

It holds no secret and no connection but its control socket (SOCK_SEQPACKET), over which JSON messages travel:

    host   -> {"spawn": id, "cwd": folder, "argv": null or [...]}   with two descriptors: the worker's socket and output
    host   -> {"kill": id}                                          SIGKILL for the worker and its process group
    host   -> {"limit": id, "data": bytes}                          RLIMIT_DATA of a worker that can't set it itself
    zygote -> {"ready": 1}                                          everything is loaded
    zygote -> {"spawned": id, "pid": pid}
    zygote -> {"ended": id, "status": exit code, or minus the signal, "peak": most resident memory ever, in KiB}

A worker without `argv` is a fork that goes on in `worker`; with `argv` it becomes that program, with an empty
environment. It finds its socket at descriptor 3, and has no other but the standard three. Workers die with the zygote
(PDEATHSIG), the zygote when the host closes the socket. Whatever a worker started dies with it: its process group, and
orphans, which come to the zygote as their subreaper.
"""

import array
import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

from cloudserve.sandbox.runtimes.python import worker

WORKER_FD: Final = 3
_MAX_MESSAGE: Final = 64 * 1024
_MAX_OPEN_FILES: Final = 1024
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_NICENESS: Final = 5

_PRELOADED: Final = """
    asyncio base64 bisect calendar collections concurrent.futures contextlib copy csv ctypes dataclasses datetime
    decimal difflib email.message email.parser email.utils enum fractions functools gzip hashlib heapq hmac html
    html.parser http.client http.cookies importlib.metadata inspect io ipaddress itertools json locale logging math
    mimetypes operator pathlib pickle platform pprint queue random re secrets shutil socket sqlite3 ssl statistics
    string struct subprocess tempfile textwrap threading time traceback types typing unicodedata urllib.error
    urllib.parse urllib.request uuid weakref xml.etree.ElementTree zipfile zlib zoneinfo
"""


def main(control_fd: int) -> None:
    """Starts workers until the host closes the control socket."""
    for name in _PRELOADED.split():
        with contextlib.suppress(ImportError):  # an interpreter may be built without some, such as sqlite3
            importlib.import_module(name)
    _Zygote(socket.socket(fileno=control_fd)).run()


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _yield_to_the_host() -> None:
    """Lets the host finish what it is doing before a worker that it woke takes its place.

    SCHED_BATCH (sched(7)) is never put before a running process on being woken; without it each hand-over of a call
    suspends the host, which then holds up all the others. The niceness keeps the host responsive when workers spin.
    """
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(_NICENESS)


class _Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pids: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        self._pid = os.getpid()

    def run(self) -> None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
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
        room = socket.CMSG_SPACE(2 * array.array("i").itemsize)
        data, ancillary, _, _ = self._control.recvmsg(_MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
        if not data:
            os._exit(0)
        message = json.loads(data)
        descriptors = array.array("i")
        for _, _, content in ancillary:
            descriptors.frombytes(content)
        if "spawn" in message:
            self._spawn(message, *descriptors)
        elif "kill" in message:
            self._kill(message["kill"])
        elif "limit" in message:
            pid = self._pids.get(message["limit"])
            if pid is not None:
                resource.prlimit(pid, resource.RLIMIT_DATA, (message["data"], message["data"]))

    def _spawn(self, message: dict[str, Any], sock: int, output: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._become_worker(message, sock, output)
        os.close(sock)
        os.close(output)
        self._pids[message["spawn"]] = pid
        self._ids[pid] = message["spawn"]
        self._tell({"spawned": message["spawn"], "pid": pid})

    def _become_worker(self, message: dict[str, Any], sock: int, output: int) -> None:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.setsid()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._pid:
                os._exit(0)
            _take_descriptors(sock, output)
            os.chdir(message["cwd"])
            _yield_to_the_host()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
            if message["argv"]:
                os.execve(message["argv"][0], message["argv"], {})  # noqa: S606 - no shell is what is wanted
            self._control.detach()
            worker.run(socket.socket(fileno=WORKER_FD))
        except BaseException:  # noqa: BLE001 - nothing may climb into the zygote's own loop
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def _kill(self, worker_id: int) -> None:
        pid = self._pids.get(worker_id)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)

    def _reap(self) -> None:
        ended = False
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            worker_id = self._ids.pop(pid, None)
            if worker_id is not None:
                ended = True
                del self._pids[worker_id]
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                exit_code = os.waitstatus_to_exitcode(status)
                self._tell({"ended": worker_id, "status": exit_code, "peak": usage.ru_maxrss})
        if ended:
            self._end_orphans()

    def _end_orphans(self) -> None:
        children = Path(f"/proc/self/task/{self._pid}/children").read_text("ascii").split()
        for pid in map(int, children):
            if pid not in self._ids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _tell(self, message: dict[str, int]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            os._exit(0)


def _take_descriptors(sock: int, output: int) -> None:
    """Puts the worker's socket at 3 and its output at 1 and 2, and closes all else."""
    sock, output = os.dup2(sock, 200, inheritable=False), os.dup2(output, 201, inheritable=False)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(sock, WORKER_FD)
    os.closerange(WORKER_FD + 1, _MAX_OPEN_FILES)
