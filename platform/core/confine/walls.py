"""Walls, in the order in which they are raised: a root of its own, then, in a forked child, everything else.

What is raised can't be taken down again by who is inside. The order matters: mounts while there is the right to mount,
the user before capabilities go, landlock and seccomp last, because they would forbid the rest.
"""

import os
import resource
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cloudserve.core.confine import landlock, seccomp
from cloudserve.core.confine.bounds import Bounds
from cloudserve.core.confine.root import Bind, Root
from cloudserve.core.confine.syscalls import (
    CLONE_NEWUSER,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    PR_SET_DUMPABLE,
    detach,
    drop_capabilities,
    map_own_user,
    mount,
    move_mount,
    open_tree,
    pivot_root,
    prctl,
    set_mount,
    unshare,
)

FIRST_UID: Final = 0x70000000
UIDS: Final = 0x0FFFFFFF
"""Users for workers alone: a range that systemd's "Users, Groups, UIDs and GIDs on systemd Systems" calls unused."""

_STAGE: Final = "/tmp"  # noqa: S108 - a folder that every system has; covered in a mount namespace of our own alone
_ROOT_OPTIONS: Final = "size=1m,nr_inodes=1024,mode=755"
_INODES_OF_OURS: Final = 4


def own_user_namespace(inner: int = 0) -> None:
    """Puts the calling process in a user namespace of its own, where there is one user: itself, as number `inner`."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    map_own_user(uid, gid, inner_uid=inner, inner_gid=inner)


def enter_root(root: Root) -> None:
    """Makes a root the calling process's own; the host's is gone for it. Needs a mount namespace of its own.

    Everything is read-only but what is bound as writable. Raises OSError; then the process must end.
    """
    umask = os.umask(0o022)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    trees = [(bind, _tree_of(bind)) for bind in root.binds]
    mount("tmpfs", _STAGE, "tmpfs", MS_NOSUID | MS_NODEV, _ROOT_OPTIONS)
    stage = Path(_STAGE)
    for bind, tree in trees:
        place = _below(stage, bind.place)
        if stat.S_ISDIR(os.fstat(tree).st_mode):  # its source may be out of sight by now, below the stage
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        move_mount(tree, str(place))
        os.close(tree)
    for path, text in root.links.items():
        place = _below(stage, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(text)
    for path, text in root.files.items():
        place = _below(stage, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
    for path in root.folders:
        _below(stage, path).mkdir(parents=True, exist_ok=True)
    if "/proc" in root.folders:  # as long as the host's can be seen, which a user namespace needs for one of its own
        mount("proc", str(stage / "proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.chdir(stage)
    pivot_root(".", ".")
    detach(".")
    os.chdir("/")
    mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.umask(umask)


def own_folders(bounds: Bounds, passwd: str) -> None:
    """Covers /tmp and /dev/shm with one bounded file system, and /etc/passwd with a text."""
    options = f"size={bounds.disk_bytes},nr_inodes={bounds.inodes + _INODES_OF_OURS},mode=755"
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options)  # noqa: S108 - its own
    trees = []
    for name in ("shm", "tmp"):
        folder = Path(f"/tmp/{name}")  # noqa: S108 - its own
        folder.mkdir()
        folder.chmod(0o1777)  # as every system has it; whatever the umask
        trees.append(open_tree(str(folder)))
    # Bytes, as text in another encoding than UTF-8 would have a module imported for it in every worker.
    Path("/tmp/passwd").write_bytes(passwd.encode())  # noqa: S108 - its own
    trees.insert(0, open_tree("/tmp/passwd"))  # noqa: S108 - its own
    for tree, place in zip(trees, ("/etc/passwd", "/dev/shm", "/tmp"), strict=True):  # noqa: S108 - its own
        move_mount(tree, place)
        os.close(tree)


def own_proc() -> None:
    """Covers /proc with one that shows the processes of the calling process's own pid namespace and nothing else."""
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid")


def limit(bounds: Bounds, *, processes: bool) -> None:
    """Sets the resource limits of one worker; that of processes only where it counts those of the worker alone."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: bounds.disk_bytes,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: bounds.open_files,
    }
    if processes:
        limits[resource.RLIMIT_NPROC] = bounds.processes
    for which, value in limits.items():
        resource.setrlimit(which, (value, value))


def become(uid: int) -> None:
    """Makes the calling process, which is root, an ordinary user that nobody else is, in no group but its own."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def give_up_privileges() -> None:
    """Drops every capability. The process stays dumpable (prctl(2)), as any ordinary process: it may read its own
    /proc, and whoever supervises it can read its memory; landlock and seccomp keep its neighbours out.
    """
    drop_capabilities()
    prctl(PR_SET_DUMPABLE, 1)


def confine_files(*, read: Iterable[str], write: Iterable[str], scoped: bool) -> None:
    """Leaves the calling process these files and folders, and no TCP; `scoped`, no signal to anybody outside.

    Without it the kernel's landlock knows no scopes (`landlock-signals`), and where no pid namespace keeps signals
    within, `stand_in_for_landlock` does.
    """
    with landlock.Ruleset(scoped=scoped) as rules:
        for path in read:
            rules.allow(path, landlock.READ)
        for path in write:
            rules.allow(path, landlock.WRITE)
        rules.enforce()


def stand_in_for_landlock() -> None:
    """Keeps the calling process, which must lead a session, from what landlock before Linux 6.12 leaves open: signals
    to others, and before Linux 6.2 truncating files that it may not write. See `seccomp.stand_in_filter`.
    """
    truncation = landlock.abi() < landlock.TRUNCATE_ABI
    seccomp.install(seccomp.stand_in_filter(os.getpid(), truncation=truncation))


def _tree_of(bind: Bind) -> int:
    """Returns a detached copy of what is bound, already with the attributes that it keeps."""
    tree = open_tree(bind.source, recursive=True)
    attributes = MOUNT_ATTR_NOSUID
    attributes |= MOUNT_ATTR_NOEXEC if bind.device else MOUNT_ATTR_NODEV
    if not bind.writable:
        attributes |= MOUNT_ATTR_RDONLY
    set_mount(tree, attributes, recursive=True)
    return tree


def _below(stage: Path, path: str) -> Path:
    return stage / path.lstrip("/")
