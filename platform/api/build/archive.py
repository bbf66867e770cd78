"""Unpacks what a user uploads into a folder of plain files, or refuses it.

Whatever the content, nothing is written outside the target, only regular files and folders come to be, and work and
memory are bounded by the limits: both formats are read as streams, and every byte that comes out of a decompressor is
counted. The format is told by the content. What a machine makes by itself (`.git`, `node_modules` and the like) is left
out, and a single folder around everything is taken off.
"""

import gzip
import io
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self, cast

from cloudserve.api.build.detect import has_file
from cloudserve.api.build.request import SingleFile, Upload
from cloudserve.core.config import MEBIBYTE, Settings
from cloudserve.core.errors import FieldError, Problem, invalid

IGNORED: Final = frozenset(
    {".git", ".DS_Store", ".venv", "__MACOSX", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache"}
)
MAX_PATH_BYTES: Final = 512
MAX_SEGMENT_BYTES: Final = 255
"""The longest file name of the usual file systems (NAME_MAX)."""

_FIELD: Final = "archive"
_SMALLER: Final = "Leave out what the function does not need, such as node_modules, tests and media."
_CHUNK_BYTES: Final = 64 * 1024
_MAX_TAR_EXTENSION_BYTES: Final = 64 * 1024
_TAR_EXTENSIONS: Final = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)
_ZIP_ENTRY: Final = b"PK\x01\x02"
_ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP_START: Final = b"\x1f\x8b"
_ZIP_ENCRYPTED: Final = 0x1
_ZIP_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Those that `zipfile` unpacks in bounded steps; of the others, one step may fill the memory."""
_BROKEN: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    gzip.BadGzipFile,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RecursionError,  # tarfile reads a chain of extended headers by calling itself
)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much an upload may hold; sizes in bytes."""

    packed: int
    unpacked: int
    files: int

    @classmethod
    def of(cls, settings: Settings) -> "ArchiveLimits":
        """Returns the limits that the settings state in MiB."""
        return cls(settings.max_archive_mb * MEBIBYTE, settings.max_unpacked_mb * MEBIBYTE, settings.max_files)


def _most_entries(limits: ArchiveLimits) -> int:
    """Returns how many entries an archive may list, those that are left out included, so that reading it ends soon."""
    return limits.files * 10 + 1000


def unpack_upload(upload: Upload, target: Path, limits: ArchiveLimits, *, entry: str | None = None) -> None:
    """Writes an upload's files into `target`, which must not exist. Raises the 422 that says what is wrong with it.

    A folder that is part of the path `entry` stays: whoever states it means the archive as it is.
    """
    if isinstance(upload, SingleFile):
        _write_single(upload, target, limits)
        return
    if len(upload.content) > limits.packed:
        size = len(upload.content) / MEBIBYTE
        raise _refused(
            f"The archive has {size:.1f} MiB; {_mebibytes(limits.packed)} are allowed.",
            _mebibytes(limits.packed),
            _SMALLER,
        )
    writer = _Writer(target, limits)
    try:
        if upload.content.startswith(_ZIP_STARTS):
            _unpack_zip(upload.content, writer)
        elif upload.content.startswith(_GZIP_START):
            with gzip.GzipFile(fileobj=io.BytesIO(upload.content)) as stream:
                _unpack_tar(cast("IO[bytes]", stream), writer)
        else:
            _unpack_tar(io.BytesIO(upload.content), writer)
    except _BROKEN as error:
        raise _refused(
            f"The archive can't be read as .tar.gz, .tgz, .tar or .zip: {error}.",
            None,
            "Pack it again, for instance with `tar -czf function.tar.gz .`.",
        ) from error
    writer.finish(entry)


def _refused(message: str, limit: str | int | None, remedy: str) -> Problem:
    return invalid(FieldError(_FIELD, message, limit, remedy))


def _mebibytes(size: int) -> str:
    return f"{size / MEBIBYTE:g} MiB"


def _write_single(upload: SingleFile, target: Path, limits: ArchiveLimits) -> None:
    name = upload.filename
    if not name or name in {".", ".."} or "/" in name or "\\" in name or not name.isprintable():
        message = f"`{name}` is no file name." if name.isprintable() else "The file name holds control characters."
        raise invalid(FieldError("filename", message, None, "Send a plain name such as `index.js` or `main.py`."))
    if len(name.encode()) > MAX_SEGMENT_BYTES:
        message = f"The file name has {len(name.encode())} bytes; {MAX_SEGMENT_BYTES} are allowed."
        raise invalid(FieldError("filename", message, MAX_SEGMENT_BYTES, "Choose a shorter name."))
    content = encode_code(upload.code, limits)
    target.mkdir(parents=True)
    (target / name).write_bytes(content)


def encode_code(code: str, limits: ArchiveLimits) -> bytes:
    """Returns the content of a file of code. Raises the 422 for what is none."""
    try:
        content = code.encode()
    except UnicodeEncodeError:
        message = "The code is no valid Unicode text."
        raise invalid(FieldError("code", message, "UTF-8", "Save the file as UTF-8.")) from None
    if len(content) > limits.packed:
        message = f"The code has {len(content) / MEBIBYTE:.1f} MiB; {_mebibytes(limits.packed)} are allowed."
        raise invalid(FieldError("code", message, _mebibytes(limits.packed), "Keep data out of the code."))
    if not content.strip():
        raise invalid(FieldError("code", "The code is empty.", None, "Send the content of the file."))
    return content


class _Writer:
    """Writes checked entries beneath one folder, and keeps count."""

    def __init__(self, target: Path, limits: ArchiveLimits) -> None:
        self._target = target
        self._limits = limits
        self._bytes = 0
        self._seen = 0
        self._entries = {True: 0, False: 0}
        self._taken: dict[str, tuple[str, bool | None]] = {}
        target.mkdir(parents=True)

    @property
    def limits(self) -> ArchiveLimits:
        return self._limits

    def parts(self, name: str) -> list[str] | None:
        """Returns the segments of an entry's name, None for what is left out. Raises the 422 for an unsafe name."""
        self._seen += 1
        if self._seen > _most_entries(self._limits):
            raise _refused("The archive lists far too many entries.", _most_entries(self._limits), _SMALLER)
        shown = name if name.isprintable() else ascii(name)
        remedy = "Pack the folder itself, with relative names and without `..`."
        if name.startswith("/") or "\\" in name or (len(name) > 1 and name[1] == ":"):
            raise _refused(f"The archive holds the absolute or foreign path `{shown}`.", "relative paths", remedy)
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if ".." in parts:
            raise _refused(f"The archive holds `{shown}`, which leads out of its folder.", "no `..`", remedy)
        if not name.isprintable():
            raise _refused(f"The name {shown} holds control characters.", "printable names", "Rename the file.")
        try:
            lengths = [len(part.encode()) for part in parts]
        except UnicodeEncodeError:
            raise _refused(f"The name {shown} is no valid UTF-8.", "UTF-8", "Rename the file.") from None
        if sum(lengths) + len(lengths) > MAX_PATH_BYTES or any(length > MAX_SEGMENT_BYTES for length in lengths):
            raise _refused(
                f"The path `{shown[:80]}…` is too long.",
                f"{MAX_PATH_BYTES} bytes, {MAX_SEGMENT_BYTES} a name",
                "Shorten the names of its folders.",
            )
        return None if not parts or not IGNORED.isdisjoint(parts) else parts

    def folder(self, parts: list[str]) -> None:
        """Makes a folder."""
        self._claim(parts, is_file=False)
        self._target.joinpath(*parts).mkdir(parents=True, exist_ok=True)

    def file(self, parts: list[str], content: IO[bytes], *, size: int, executable: bool) -> None:
        """Writes a file whose archive promises `size` bytes."""
        self._claim(parts, is_file=True)
        path = self._target.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with path.open("xb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                written += len(chunk)
                file.write(chunk)
        if written != size:
            raise tarfile.ReadError(f"`{'/'.join(parts)}` is cut off")
        if executable:
            path.chmod(0o755)

    def count(self, size: int) -> None:
        """Counts bytes that came out of the archive."""
        self._bytes += size
        if self._bytes > self._limits.unpacked:
            raise _refused(
                f"The archive holds more than {_mebibytes(self._limits.unpacked)} once unpacked.",
                _mebibytes(self._limits.unpacked),
                _SMALLER,
            )

    def finish(self, entry: str | None) -> None:
        """Checks that there is something, and takes a single folder around everything off, unless `entry` names it."""
        if not self._entries[True]:
            raise _refused("The archive holds no files.", None, "Pack the function's sources.")
        entries = list(self._target.iterdir())
        if len(entries) == 1 and entries[0].is_dir() and not (entry and has_file(self._target, entry)):
            wrapper = self._target.with_name(f"{self._target.name}.wrapped")
            self._target.rename(wrapper)
            (wrapper / entries[0].name).rename(self._target)
            wrapper.rmdir()

    def _claim(self, parts: list[str], *, is_file: bool) -> None:
        """Takes a path and the folders above it. Two names that some file system takes for one are refused."""
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            key = unicodedata.normalize("NFC", path).casefold()
            file_here = is_file and depth == len(parts)
            earlier = self._taken.setdefault(key, (path, None))
            if earlier[0] != path:
                message = f"The names `{earlier[0]}` and `{path}` are one and the same on some file systems."
                raise _refused(message, "names that differ in more than case", "Keep one of them, or rename it.")
            if earlier[1] is None:
                self._taken[key] = (path, file_here)
                self._count_entry(is_file=file_here)
            elif earlier[1] or file_here:
                raise _refused(f"The archive holds `{path}` twice.", "each name once", "Keep one of them.")

    def _count_entry(self, *, is_file: bool) -> None:
        self._entries[is_file] += 1
        if self._entries[is_file] > self._limits.files:
            raise _refused(
                f"The archive holds more than {self._limits.files} {'files' if is_file else 'folders'}.",
                self._limits.files,
                _SMALLER,
            )


class _CountedStream:
    """A readable stream whose bytes a writer counts, so that no archive unpacks to more than is allowed."""

    def __init__(self, stream: IO[bytes], writer: _Writer) -> None:
        self._stream = stream
        self._writer = writer

    def read(self, size: int) -> bytes:
        """Reads at most `size` bytes."""
        chunk = self._stream.read(size)
        self._writer.count(len(chunk))
        return chunk


class _Member(tarfile.TarInfo):
    """A tar header that is checked before `tarfile` acts on it, which reads a whole extension header into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Reads a header. Raises the 422 for an oversized extension."""
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0:
            raise tarfile.ReadError("a header states a negative size")
        if member.type in _TAR_EXTENSIONS and member.size > _MAX_TAR_EXTENSION_BYTES:
            raise tarfile.ReadError("an extended header is too long")
        return member


def _unpack_tar(stream: IO[bytes], writer: _Writer) -> None:
    counted = cast("IO[bytes]", _CountedStream(stream, writer))
    with tarfile.open(fileobj=counted, mode="r|", tarinfo=_Member, encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            parts = writer.parts(member.name)
            if parts is None:
                continue
            if member.isdir():
                writer.folder(parts)
                continue
            if not member.isreg() or member.issparse():
                raise _not_plain("/".join(parts), "a link" if member.issym() or member.islnk() else "a special file")
            content = tar.extractfile(member)
            if content is None:
                raise tarfile.ReadError(f"`{member.name}` has no content")
            writer.file(parts, content, size=member.size, executable=bool(member.mode & stat.S_IXUSR))


def _unpack_zip(content: bytes, writer: _Writer) -> None:
    # The directory of a zip is read whole before its entries can be counted, so its size is judged first.
    if content.count(_ZIP_ENTRY) > _most_entries(writer.limits):
        raise zipfile.BadZipFile("it lists far too many entries")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            parts = writer.parts(entry.filename)
            if parts is None:
                continue
            mode = entry.external_attr >> 16
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise _not_plain("/".join(parts), "a link" if stat.S_ISLNK(mode) else "a special file")
            if entry.flag_bits & _ZIP_ENCRYPTED:
                message = f"The archive's `{'/'.join(parts)}` is encrypted."
                raise _refused(message, None, "Pack it without a password.")
            if entry.is_dir():
                writer.folder(parts)
                continue
            if entry.compress_type not in _ZIP_METHODS:
                message = f"The archive's `{'/'.join(parts)}` is compressed by another method than deflate."
                raise _refused(message, "stored or deflated", "Pack it with `zip -r`, or as .tar.gz.")
            with archive.open(entry) as source:
                counted = cast("IO[bytes]", _CountedStream(source, writer))
                writer.file(parts, counted, size=entry.file_size, executable=bool(mode & stat.S_IXUSR))


def _not_plain(name: str, kind: str) -> Problem:
    return _refused(
        f"The archive holds {kind}, `{name}`.",
        "regular files and folders",
        "Pack a copy of what it stands for; `tar --dereference` does that for links.",
    )
