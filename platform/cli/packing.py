"""Makes the upload of a deploy: one file as text, a folder as a .tar.gz without what its ignore file names.

Equal folders make equal archives: names are sorted; times and owners are left out; of the mode only the executable
bit is kept. An archive holds files alone, because links can lead out of it and the platform refuses them.
"""

import gzip
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudserve.cli.ignore import IGNORE_FILE, IgnoreRules
from cloudserve.cli.output import CommandError


@dataclass(frozen=True, slots=True)
class Upload:
    """What is sent: `code` of a single file, or `archive` of a folder."""

    filename: str
    code: str | None = field(default=None, repr=False)
    archive: bytes | None = field(default=None, repr=False)

    def request(self, options: dict[str, Any]) -> dict[str, Any]:
        """Returns the body of a deploy with these options, as arguments of an HTTP call."""
        if self.archive is None:
            return {"json": {**options, "filename": self.filename, "code": self.code}}
        return {
            "files": {"archive": (self.filename, self.archive, "application/gzip")},
            "data": {"options": json.dumps(options)},
        }


def pack(path: Path) -> Upload:
    """Returns the upload for a file or a folder. Raises `CommandError` for what can't be deployed."""
    if path.is_dir():
        return Upload(filename=f"{path.resolve().name or 'function'}.tar.gz", archive=_pack_folder(path))
    try:
        return Upload(filename=path.name, code=path.read_text("utf-8"))
    except FileNotFoundError:
        raise CommandError(f"There is no file or folder {str(path)!r}.", reason="no-such-file", exit_code=2) from None
    except UnicodeDecodeError:
        raise CommandError(
            f"{path} is not UTF-8 text. Deploy source code, or a folder for several files.", reason="not-text"
        ) from None
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.", reason="unreadable") from None


def name_for(path: Path) -> str:
    """Returns the function's name that a path suggests: its last part in lower case, with hyphens for what no name has.

    Raises `CommandError` when nothing of it is left.
    """
    whole = path.resolve()
    stem = whole.name if whole.is_dir() else whole.name.partition(".")[0]
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    if not name:
        raise CommandError(f"{path} suggests no name for the function; give one with --name.", exit_code=2)
    return name


def _pack_folder(folder: Path) -> bytes:
    ignore_file = folder / IGNORE_FILE
    lines = ignore_file.read_text("utf-8").splitlines() if ignore_file.is_file() else []
    buffer = io.BytesIO()
    count = 0
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path, name in _files(folder, "", IgnoreRules(lines)):
            _add(tar, path, name)
            count += 1
    if count == 0:
        raise CommandError(f"{folder} has no file to deploy.", reason="empty")
    return buffer.getvalue()


def _files(folder: Path, prefix: str, rules: IgnoreRules) -> Iterator[tuple[Path, str]]:
    for entry in sorted(os.scandir(folder), key=lambda found: found.name):
        name = prefix + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if rules.ignores(name, is_folder=is_folder):
            continue
        path = Path(entry.path)
        if is_folder:
            yield from _files(path, name + "/", rules)
        elif entry.is_file(follow_symlinks=False):
            yield path, name
        else:
            kind = "a link" if entry.is_symlink() else "no regular file"
            raise CommandError(
                f"{name} is {kind}, and a deploy holds files alone. Copy its content, or name it in {IGNORE_FILE}.",
                reason="not-a-file",
            )


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    try:
        content = path.read_bytes()
        executable = path.stat().st_mode & 0o100
    except OSError as error:
        raise CommandError(f"{name} can't be read: {error.strerror}.", reason="unreadable") from None
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o755 if executable else 0o644
    tar.addfile(info, io.BytesIO(content))
