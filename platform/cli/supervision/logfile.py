"""A log file that never grows beyond its bounds."""

from pathlib import Path
from typing import Final

MAX_BYTES: Final = 10 * 1024 * 1024
KEPT: Final = 5


class RotatingFile:
    """Appends bytes to `path`; at `max_bytes` that becomes `path.1`, the one before `path.2`, up to `kept` of them."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._kept = kept
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open()

    def write(self, data: bytes) -> None:
        """Appends, unbuffered. A full disk loses the data and raises nothing: a log must not take a platform down."""
        if self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        try:
            self._file.write(data)
        except OSError:
            return
        self._size += len(data)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def tail(self, lines: int) -> str:
        """Returns the last lines."""
        with self.path.open("rb") as file:
            file.seek(max(0, self._size - 200 * lines))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _open(self) -> None:
        self._file = self.path.open("ab", buffering=0)
        self.path.chmod(0o600)
        self._size = self.path.stat().st_size

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._kept, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1) if number > 1 else self.path
            if newer.exists():
                newer.replace(older)
        self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
