"""An export that was checked and can be opened: what an import reads."""

from collections.abc import Iterator
from pathlib import Path

from cloudserve.core.auth.sealing import SealBroken, Sealer
from cloudserve.core.transfer.archive import Member
from cloudserve.core.transfer.failures import Damaged
from cloudserve.core.transfer.head import HEAD, HISTORY, OBJECTS, ROWS, Head
from cloudserve.core.transfer.home import Progress, silent
from cloudserve.core.transfer.lines import CarriedSecret, FunctionParts, HistoryLine, RowsLine
from cloudserve.core.transfer.passphrase import opened
from cloudserve.core.transfer.reader import ArchiveReader


class ExportFile:
    """The file and its key. `close` once after use."""

    def __init__(self, archive: ArchiveReader, head: Head, sealer: Sealer) -> None:
        self.head = head
        self._archive = archive
        self._sealer = sealer
        self._hashes = {member.name.removeprefix(OBJECTS): member.sha256 for member in archive.members(OBJECTS)}

    @classmethod
    def open(cls, path: Path, *, passphrase: str, on_progress: Progress = silent) -> "ExportFile":
        """Checks all of a file, which takes as long as reading it.

        Raises `Damaged` for anything but a whole export, `WrongPassphrase`, `TransferError` for an export of another
        format, and OSError of the disk.
        """
        archive = ArchiveReader.open(path, lambda done, total: on_progress("check", done, total))
        try:
            head = Head.parse(archive.content(HEAD))
            return cls(archive, head, opened(head.sealing, passphrase))
        except BaseException:
            archive.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        self._archive.close()

    def rows(self) -> Iterator[RowsLine]:
        """Yields owners, and functions after them. Raises `Damaged` for one whose objects are not in the file."""
        for content in self._archive.lines(ROWS):
            line = RowsLine.parse(content, ROWS)
            if line.function is not None:
                self._require(line.function)
            yield line

    def calls(self) -> Iterator[HistoryLine]:
        """Yields the records of calls, where they went along."""
        if HISTORY in self._archive:
            for content in self._archive.lines(HISTORY):
                yield HistoryLine.parse(content, HISTORY)

    def objects(self) -> Iterator[tuple[str, Member]]:
        """Yields each object's key and what is known of it."""
        return ((member.name.removeprefix(OBJECTS), member) for member in self._archive.members(OBJECTS))

    def extract(self, member: Member, target: Path) -> None:
        """Writes an object to a new file."""
        self._archive.extract(member.name, target)

    def unsealed(self, secret: CarriedSecret) -> str:
        """Returns a secret's value. Raises `Damaged`."""
        place = f"{secret.function_id}/{secret.name}"
        try:
            return self._sealer.open(secret.ciphertext, context=place)
        except SealBroken:
            raise _incomplete(f"what opens the secret {place}") from None

    def _require(self, parts: FunctionParts) -> None:
        for key, sha256 in parts.objects().items():
            if self._hashes.get(key) != sha256:
                raise _incomplete(f"the object {key} of the function {parts.function.name}")


def _incomplete(what: str) -> Damaged:
    return Damaged(f"{what} is not in the export. Remedy: make the export again.")
