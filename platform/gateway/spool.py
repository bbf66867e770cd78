"""Lines on disk until they have been delivered: an append-only spool of small files.

Guarantees
- `append` is one `write` to the kernel: what it has taken survives the end of this process, however it ends. (It does
  not wait for the disk: a power cut may take the last moments with it.)
- A file belongs to the process that holds its lock. The lock of a dead process is free, and whoever takes it delivers
  what is left in the file (`adopt`).
- How far a file has been delivered is kept in its first line, so that taking it up repeats little.
- A line that a full disk or a kill has torn is passed over; the lines around it are not.
- All files together stay below `most_bytes`: when the store is away for so long that they would not, the oldest file
  goes, and `lost_bytes` and the log tell.

A file is `HEADER` (the offset up to which it is delivered, in 20 digits and a newline), then lines.
"""

import fcntl
import logging
import os
from collections import deque
from pathlib import Path
from typing import Final

FILE_BYTES: Final = 8 * 1024 * 1024
MOST_BYTES: Final = 512 * 1024 * 1024
_HEADER_BYTES: Final = 21
_SUFFIX: Final = ".spool"

_log = logging.getLogger(__name__)


class SpoolFile:
    """One file of the spool, locked by this process."""

    def __init__(self, path: Path, descriptor: int, size: int, delivered: int) -> None:
        self.path = path
        self.size = size
        self.delivered = delivered
        self.closed = False
        self._descriptor = descriptor
        self._torn = False

    @classmethod
    def create(cls, path: Path) -> "SpoolFile | None":
        """Makes an empty file; None when another process took it up before its lock was held."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if not _locked(descriptor):
            os.close(descriptor)
            return None
        os.write(descriptor, _header(_HEADER_BYTES))
        return cls(path, descriptor, _HEADER_BYTES, _HEADER_BYTES)

    @classmethod
    def take_up(cls, path: Path) -> "SpoolFile | None":
        """Opens the file of a dead process; None when its process lives, or another was faster."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        if not _locked(descriptor):
            os.close(descriptor)
            return None
        delivered = _delivered(os.pread(descriptor, _HEADER_BYTES, 0))
        return cls(path, descriptor, os.fstat(descriptor).st_size, delivered)

    def append(self, lines: bytes) -> None:
        """Adds lines, which end in a newline. Raises OSError; a line that was torn by it is then passed over."""
        if self.closed:
            raise OSError("the spool is closed")
        if self._torn:
            lines = b"\n" + lines
        written = 0
        try:
            written = os.write(self._descriptor, lines)
        finally:
            self.size += written
            self._torn = written != len(lines)
        if self._torn:
            raise OSError(f"{written} of {len(lines)} bytes were written")

    def read(self, most: int) -> bytes:
        """Returns whole lines that were not delivered, about `most` bytes or one line; b"" when there are none."""
        while True:
            block = os.pread(self._descriptor, most, self.delivered)
            end = block.rfind(b"\n") + 1
            if end or len(block) < most:
                return block[:end]
            most *= 2

    def deliver(self, count: int) -> None:
        """Notes that the next `count` bytes have been delivered."""
        if not self.closed:
            self.delivered += count
            os.pwrite(self._descriptor, _header(self.delivered), 0)

    def remove(self) -> None:
        """Deletes the file and gives up its lock."""
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Gives up the lock and leaves the file to whoever comes next."""
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)


class Spool:
    """The files of this process, and those that it has taken up."""

    def __init__(self, folder: Path, *, file_bytes: int = FILE_BYTES, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self.lost_bytes = 0
        self.appended = 0
        self._file_bytes = file_bytes
        self._most_bytes = most_bytes
        self._files: deque[SpoolFile] = deque()
        self._count = 0
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._current = self._next()

    def append(self, *lines: bytes) -> None:
        """Keeps lines, which end in a newline, with one `write`. Raises OSError when the disk takes no more."""
        if self._current.size >= self._file_bytes:
            self._current = self._next()
        self._current.append(b"".join(lines))
        self.appended += len(lines)

    def adopt(self) -> int:
        """Takes up the files of dead processes, before its own; returns how many."""
        own = {file.path for file in self._files}
        found = [path for path in sorted(self.folder.glob(f"*{_SUFFIX}")) if path not in own]
        adopted = [file for file in map(SpoolFile.take_up, found) if file is not None]
        self._files.extendleft(reversed(adopted))
        return len(adopted)

    def next_lines(self, most: int) -> tuple[SpoolFile, bytes] | None:
        """Returns the oldest lines that were not delivered, about `most` bytes; None when there are none.

        Call `SpoolFile.deliver` with their length when they have arrived. Files that are through are removed.
        """
        while True:
            file = self._files[0]
            lines = file.read(most) if file.delivered < file.size else b""
            if lines:
                return file, lines
            if file is self._current:
                return None
            self._files.popleft().remove()

    @property
    def fullness(self) -> float:
        """Returns which share of `most_bytes` waits to be delivered."""
        return self.waiting_bytes / self._most_bytes

    @property
    def waiting_bytes(self) -> int:
        """Returns how many bytes wait to be delivered."""
        return sum(file.size - file.delivered for file in self._files)

    def close(self) -> None:
        """Removes the files that are delivered; the others are for the next process."""
        for file in self._files:
            if file.delivered < file.size:
                file.release()
            else:
                file.remove()
        self._files.clear()

    def _next(self) -> SpoolFile:
        while self._files and sum(file.size for file in self._files) + self._file_bytes > self._most_bytes:
            lost = self._files.popleft()
            self.lost_bytes += lost.size - lost.delivered
            _log.error("the spool is full: %d bytes of records that were not delivered are lost", self.lost_bytes)
            lost.remove()
        file = None
        while file is None:
            self._count += 1
            file = SpoolFile.create(self.folder / f"{self._name}-{self._count:08}{_SUFFIX}")
        self._files.append(file)
        return file


def _locked(descriptor: int) -> bool:
    """Takes the lock of a file; False when another has it, or has deleted the file meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _header(delivered: int) -> bytes:
    return b"%020d\n" % delivered


def _delivered(header: bytes) -> int:
    try:
        return max(int(header), _HEADER_BYTES)
    except ValueError:
        return _HEADER_BYTES
