"""From the zygote's fork to the worker: the walls of each tier, raised by the forked child around itself.

Every step is one that the next ones could no longer take. When the last stands the child registers with the warden,
closes everything that is not its own, and becomes the worker.
"""

import array
import json
import os
import random
import resource
import signal
import socket
import sys
import time
from typing import Any, Final

from cloudserve.core.confine import seccomp, syscalls, walls
from cloudserve.core.confine.root import NOBODY, Bind, interpreter_paths, shown_of_etc, system_root
from cloudserve.sandbox.runtimes.python import worker
from cloudserve.sandbox.runtimes.python.settings import Settings

WORKER_FD: Final = 3
NODE_RUNTIME: Final = "/opt/cloudserve/node"
"""Where a worker at tiers A and B sees Node's side of it."""

_NICENESS: Final = 5
_HOST_NAME: Final = "worker"


class Nursery:
    """Forks workers and walls them off, by the settings' tier. Making one walls off the calling process itself."""

    def __init__(self, settings: Settings, *, control: socket.socket, registrations: socket.socket | None) -> None:
        self._settings = settings
        self._control = control
        self._registrations = registrations
        self._filter = b""
        self._readable: list[str] = []
        self._pid_namespace = -1
        self._first_uid = random.SystemRandom().randrange(walls.UIDS)
        self.own_pids = settings.tier in ("A", "B")
        """Whether each worker is in a pid namespace of its own."""
        if settings.tier != "none":
            syscalls.drop_bounding_set()  # here and once, as only who is privileged can
        if self.own_pids:
            self._enter_root()
            self._filter = seccomp.worker_filter(supervised={"socket", "connect"})
        elif settings.tier == "C":
            self._readable = [path for path in self._readable_of_host() if os.path.exists(path)]  # noqa: PTH110
            self._filter = seccomp.worker_filter(
                supervised={"socket", "connect"} if settings.keeps_sockets else {"connect"}
            )

    def fork(self, message: dict[str, Any], descriptors: list[int]) -> int:
        """Forks a worker and returns its pid, as the zygote sees it. Raises OSError."""
        zygote = os.getpid()
        if self.own_pids:
            syscalls.unshare(syscalls.CLONE_NEWPID)
        try:
            pid = os.fork()
        except OSError:
            self._return_to_own_pids()
            raise
        if pid == 0:
            try:
                self._become_worker(message, descriptors, zygote)
            except BaseException:  # noqa: BLE001 - nothing may climb into the zygote's own loop
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(1)
        self._return_to_own_pids()
        return pid

    def _return_to_own_pids(self) -> None:
        if self.own_pids:
            syscalls.setns(self._pid_namespace, syscalls.CLONE_NEWPID)

    # -- the zygote's own walls ----------------------------------------------------------------------------------

    def _enter_root(self) -> None:
        settings = self._settings
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS)
        socket.sethostname(_HOST_NAME)
        shown = [settings.node] if settings.node else []
        root = system_root(certificates=settings.certificates, shown=shown)
        folders = [f"/box/{name}" for name in ("deps", "fn", "node_modules")]
        walls.enter_root(root.plus(binds=[Bind(settings.node_runtime, NODE_RUNTIME)], folders=folders))
        self._pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def _readable_of_host(self) -> list[str]:
        settings = self._settings
        own = ("/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf", "/dev/random", "/dev/urandom")
        node = [settings.node, settings.node_runtime] if settings.node else []
        return ["/usr", "/bin", "/lib", "/lib64", *own, *shown_of_etc(), *interpreter_paths(), *node]

    # -- a worker's ----------------------------------------------------------------------------------------------

    def _become_worker(self, message: dict[str, Any], descriptors: list[int], zygote: int) -> None:
        began = time.perf_counter()
        sock, output, *groups = descriptors
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        syscalls.die_with_parent(signal.SIGKILL)
        if not self.own_pids and os.getppid() != zygote:
            os._exit(0)
        for group in groups:
            os.write(group, b"0")
        _yield_to_the_host()
        listener = self._wall_off(message)
        if self._registrations is not None:
            walls_ms = (time.perf_counter() - began) * 1000
            _register(self._registrations, message["spawn"], listener, walls_ms)
        os.chdir(message["cwd"])
        argv, data_bytes = message["argv"], message["data"]
        if data_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
        self._take_descriptors(sock, output)
        if argv:
            os.execve(argv[0], argv, {})  # noqa: S606 - no shell is what is wanted
        worker.run(socket.socket(fileno=WORKER_FD))

    def _wall_off(self, message: dict[str, Any]) -> int:
        tier, bounds = self._settings.tier, self._settings.bounds
        if tier == "none":
            walls.limit(bounds, processes=False)
            return -1
        if tier == "C":
            walls.limit(bounds, processes=False)
            read = [*self._readable, f"/proc/{os.getpid()}", *message["read"]]
            write = [message["cwd"], "/dev/null"]
        else:
            self._wall_off_mounts(message["spawn"])
            read, write = ["/"], ["/tmp", "/dev/shm", "/dev/null"]  # noqa: S108 - its own
        walls.give_up_privileges()
        walls.confine_files(read=read, write=write, scoped=self._settings.scoped)
        if tier == "C" and not self._settings.scoped:
            walls.stand_in_for_landlock()
        return seccomp.install(self._filter, listener=True)

    def _wall_off_mounts(self, worker_id: int) -> None:
        bounds = self._settings.bounds
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWCGROUP)
        uid = NOBODY
        if self._settings.tier == "A":
            uid = walls.FIRST_UID + (self._first_uid + worker_id) % walls.UIDS
        walls.own_folders(bounds, f"worker:x:{uid}:{uid}::/tmp:/bin/sh\n")
        walls.own_proc()
        if self._settings.tier == "A":
            walls.limit(bounds, processes=True)
            walls.become(uid)
        else:
            walls.own_user_namespace(inner=NOBODY)
            walls.limit(bounds, processes=True)

    def _take_descriptors(self, sock: int, output: int) -> None:
        """Puts the worker's socket at 3 and its output at 1 and 2, and closes all else."""
        self._control.detach()
        if self._registrations is not None:
            self._registrations.detach()
        most = self._settings.bounds.open_files
        sock, output = os.dup2(sock, most - 1, inheritable=False), os.dup2(output, most - 2, inheritable=False)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(sock, WORKER_FD)
        os.closerange(WORKER_FD + 1, most)


def _register(registrations: socket.socket, worker_id: int, listener: int, walls_ms: float) -> None:
    own = os.pidfd_open(os.getpid())
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [own, listener]))]
    registrations.sendmsg([json.dumps({"register": worker_id, "walls": round(walls_ms, 3)}).encode()], rights)


def _yield_to_the_host() -> None:
    """Lets the host finish what it is doing before a worker that it woke takes its place.

    SCHED_BATCH (sched(7)) is never put before a running process on being woken; without it each hand-over of a call
    suspends the host, which then holds up all the others. The niceness keeps the host responsive when workers spin.
    """
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(_NICENESS)
