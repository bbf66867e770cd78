"""Why a transfer ends early. Each message names the row or the part of the file, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass


class TransferError(Exception):
    """An export or an import can't go on."""


class Damaged(TransferError):  # noqa: N818 - reads as what happened
    """The file is no export, or not the one that was written; nothing of it was imported."""


class WrongPassphrase(TransferError):  # noqa: N818 - reads as what happened
    """The passphrase is not the one that the export was made with."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A row of the file that can't be added: what it is, what is in its way, and what to do."""

    row: str
    obstacle: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.row}: {self.obstacle} Remedy: {self.remedy}"


class Conflicting(TransferError):  # noqa: N818 - reads as what happened
    """The home has other rows where some of the file belong; none was imported."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        super().__init__("\n".join(str(conflict) for conflict in conflicts))
        self.conflicts = tuple(conflicts)
