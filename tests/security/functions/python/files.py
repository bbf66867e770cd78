"""Attacks on files: reading what is not theirs, and writing where they may not."""

import ctypes
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit import Report, canaries, read_small, system_call

_LEFT_OUT = {"usr", "lib", "lib32", "lib64", "bin", "sbin", "proc", "sys"}
_MOST_FILES = 5000
_DEEPEST = 40


def host_files(report: Report, targets: dict[str, Any]) -> None:
    """Reads what the host alone has: its passwords, the platform's code and data, devices, kernel memory."""
    for path in targets["files"]:
        report.attempt(f"read {path}", lambda path=path: _head(path))
    for path in targets["folders"]:
        report.attempt(f"list {path}", lambda path=path: os.listdir(path)[:20])
    for path in ("/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore", "/dev/kmsg", *targets["disks"]):
        report.attempt(f"open {path}", lambda path=path: _opened(path, os.O_RDONLY))
    for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper"):
        report.attempt(f"open {path} to write", lambda path=path: _opened(path, os.O_WRONLY))
    report.attempt("kernel addresses", _kernel_addresses)
    report.attempt("every file in sight", lambda: _hunt("/"))


def other_code(report: Report, targets: dict[str, Any]) -> None:
    """Reads another function's code, layer and temporary folder."""
    for path in targets["others"]:
        report.attempt(f"read {path}", lambda path=path: canaries(read_small(path)))
        report.attempt(f"list the folder of {path}", lambda path=path: os.listdir(Path(path).parent))
    for pid in targets["pids"]:
        for place in ("cwd", "root", "root/tmp", "root/box/fn", "fd"):
            folder = f"/proc/{pid}/{place}"
            report.attempt(f"hunt in {folder}", lambda folder=folder: _hunt(folder))
    report.attempt("hunt in its own surroundings", lambda: _hunt(".."))


def tree_escapes(report: Report, targets: dict[str, Any]) -> None:
    """Leaves its own folder by links and by `..`."""
    code = Path(__file__).resolve().parent
    for name in targets["links"]:
        report.attempt(f"follow {name}", lambda name=name: canaries(read_small(code / name)))
    inside = targets["canary"].lstrip("/")
    for start in (str(code), "/box/fn", "/box", "/tmp", ".", "/proc/self/cwd", "/proc/self/root", "/dev/fd"):
        report.attempt(f"climb from {start}", lambda start=start: _climb(start, inside))
        report.attempt(f"walk from {start}", lambda start=start: canaries(read_small(_dotted(start, inside))))
    report.attempt("link to it", lambda: _through_link(targets["canary"]))


def writes(report: Report, targets: dict[str, Any]) -> None:
    """Writes everywhere but into its temporary folders."""
    own = {str(Path.cwd()), os.path.realpath(os.environ.get("TMPDIR", "/tmp")), "/tmp", "/dev/shm"}
    for path in targets["spoil"]:
        report.attempt(f"append to {path}", lambda path=path: _spoil(path))
        report.attempt(f"truncate {path}", lambda path=path: os.truncate(path, 0) or "truncated")
        report.attempt(f"rename {path}", lambda path=path: _renamed(path))
        report.attempt(f"link {path}", lambda path=path: _linked(path))
    for folder in _folders(own):
        report.attempt(f"make a file in {folder}", lambda folder=folder: _made(folder))


def file_modes(report: Report, targets: dict[str, Any]) -> None:
    """Changes what is known of a file whose content it can't touch: mode, owner, times, attributes."""
    mode = 0o701
    for path in targets["spoil"]:
        report.attempt(f"chmod {path}", lambda path=path: os.chmod(path, mode) or "changed")
        report.attempt(f"fchmodat2 {path}", lambda path=path: _fchmodat2(path, mode))
        report.attempt(f"chown {path}", lambda path=path: os.chown(path, os.getuid(), os.getgid()) or "changed")
        report.attempt(f"utime {path}", lambda path=path: os.utime(path, (1, 1)) or "changed")
        report.attempt(f"setxattr {path}", lambda path=path: os.setxattr(path, "user.x", b"y") or "changed")


def _head(path: str) -> str:
    data = read_small(path)
    return f"{len(data)} bytes {canaries(data)}"


def _opened(path: str, flags: int) -> str:
    os.close(os.open(path, flags | os.O_NONBLOCK))
    return "opened"


def _kernel_addresses() -> str | None:
    with open("/proc/kallsyms") as symbols:
        first = symbols.readline()
    return first if int(first.split()[0], 16) else None


def _hunt(root: str) -> list[str]:
    """Returns the secrets in every small file below a folder, the system's own folders left out."""
    found: set[str] = set()
    for seen, path in enumerate(_walk(root)):
        if seen >= _MOST_FILES:
            break
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                found.update(canaries(read_small(path)))
        except OSError:
            continue
    return sorted(found)


def _walk(root: str) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        if os.path.samefile(folder, "/"):
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
        folders[:] = [name for name in folders if name not in {".venv", ".git", "node_modules"}]
        yield from (os.path.join(folder, name) for name in names)


def _folders(own: set[str]) -> list[str]:
    """Returns the folders to try: the well-known ones, and all that can be seen not too deep."""
    found = ["/proc/self", "/proc/sys/kernel", "/sys/fs/cgroup", "/var/tmp", "/dev/shm", "/run", "/root", "/etc"]
    code = str(Path(__file__).resolve().parent)
    found += [code, str(Path(code).parent), str(Path.cwd().parent)]
    for folder, folders, _ in os.walk("/"):
        found.append(folder)
        if folder.count("/") >= 3 or folder == "/proc" or folder in own or len(found) > 400:
            folders.clear()
    real = {os.path.realpath(folder) for folder in found}
    own |= {"/proc"}
    return sorted(folder for folder in real if not any(f"{folder}/".startswith(f"{each}/") for each in own))


def _made(folder: str) -> str:
    path = os.path.join(folder, f"intruder-{os.getpid()}")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(path)
    return path


def _spoil(path: str) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"spoiled")
    os.close(descriptor)
    return "appended"


def _renamed(path: str) -> str:
    os.rename(path, path + "-moved")
    os.rename(path + "-moved", path)
    return "renamed"


def _linked(path: str) -> str:
    link = os.path.join(os.path.dirname(path), f"link-{os.getpid()}")
    os.link(path, link)
    os.unlink(link)
    return "linked"


def _fchmodat2(path: str, mode: int) -> str:
    system_call(452, -100, ctypes.c_char_p(path.encode()), mode, 0)
    return "changed"


def _dotted(start: str, inside: str) -> str:
    return f"{start}/{'../' * _DEEPEST}{inside}"


def _climb(start: str, inside: str) -> list[str]:
    current = os.open(start, os.O_PATH | os.O_DIRECTORY)
    for _ in range(_DEEPEST):
        current = os.open("..", os.O_PATH | os.O_DIRECTORY, dir_fd=current)
    return canaries(os.read(os.open(inside, os.O_RDONLY, dir_fd=current), 4096))


def _through_link(canary: str) -> list[str]:
    link = f"{os.environ.get('TMPDIR', '/tmp')}/link-{os.getpid()}"
    try:
        os.symlink(canary, link)
        return canaries(read_small(link))
    finally:
        os.unlink(link)
