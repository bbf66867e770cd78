"""An upload becomes plain files inside its folder, or a 422 that says why not."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudserve.api.build.archive import ArchiveLimits, unpack_upload
from cloudserve.api.build.request import ArchiveUpload, SingleFile
from cloudserve.core.errors import Problem

LIMITS = ArchiveLimits(packed=100_000, unpacked=200_000, files=10)
LIMITS_OF_LARGE = ArchiveLimits(packed=10_000_000, unpacked=20_000_000, files=10)


def tar_of(*members: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w:gz") -> bytes:
    """Packs names with contents, or headers as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member, io.BytesIO(b"x" * member.size))
            else:
                header = tarfile.TarInfo(member[0])
                header.size = len(member[1])
                tar.addfile(header, io.BytesIO(member[1]))
    return buffer.getvalue()


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """Packs names with contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def header(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """Returns the header of something that is no file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def unpack(content: bytes, target: Path, limits: ArchiveLimits = LIMITS) -> dict[str, bytes]:
    """Unpacks an archive and returns its files."""
    unpack_upload(ArchiveUpload("upload", content), target, limits)
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def refusal(content: bytes, target: Path, limits: ArchiveLimits = LIMITS) -> str:
    """Returns why an archive is refused; the refusal names the field and a remedy."""
    with pytest.raises(Problem) as raised:
        unpack(content, target, limits)
    assert raised.value.status == 422
    assert raised.value.errors[0].field == "archive"
    assert raised.value.errors[0].remedy
    return raised.value.message


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_becomes_files(tmp_path: Path, mode: str) -> None:
    """Plain or gzipped, told by its content."""
    content = tar_of(("index.js", b"1"), ("./lib/a.js", b"2"), mode=mode)
    assert unpack(content, tmp_path / "t") == {"index.js": b"1", "lib/a.js": b"2"}


def test_a_zip_becomes_files(tmp_path: Path) -> None:
    """With its folders."""
    content = zip_of(("main.py", b"1"), ("pkg/", b""), ("pkg/a.py", b"2"))
    assert unpack(content, tmp_path / "t") == {"main.py": b"1", "pkg/a.py": b"2"}


def test_the_executable_bit_is_kept_and_no_other(tmp_path: Path) -> None:
    """A script stays one; nothing becomes set-user-id."""
    info = tarfile.TarInfo("run.sh")
    info.mode = 0o6777
    unpack(tar_of(info, ("a", b"")), tmp_path / "t")
    assert (tmp_path / "t/run.sh").stat().st_mode & 0o7777 == 0o755
    assert not (tmp_path / "t/a").stat().st_mode & 0o111


def test_a_single_folder_around_everything_is_taken_off(tmp_path: Path) -> None:
    """As `tar -czf f.tar.gz folder` makes it; one only."""
    assert unpack(tar_of(("f/src/a.js", b"1")), tmp_path / "t") == {"src/a.js": b"1"}


def test_a_folder_that_the_entry_names_stays(tmp_path: Path) -> None:
    """Whoever states `src/a.js` means the archive as it is."""
    upload = ArchiveUpload("upload", tar_of(("src/a.js", b"1")))
    unpack_upload(upload, tmp_path / "t", LIMITS, entry="src/a.js")
    assert (tmp_path / "t/src/a.js").is_file()
    unpack_upload(upload, tmp_path / "u", LIMITS, entry="a.js")
    assert (tmp_path / "u/a.js").is_file()


def test_what_machines_make_is_left_out(tmp_path: Path) -> None:
    """Links in node_modules too, which would be refused elsewhere."""
    content = tar_of(
        ("a.js", b"1"),
        ("node_modules/x/index.js", b"2"),
        header("node_modules/.bin/x", tarfile.SYMTYPE, "../x"),
        (".git/config", b"3"),
        ("lib/__pycache__/a.pyc", b"4"),
        (".venv/bin/python", b"5"),
        (".DS_Store", b"6"),
    )
    assert unpack(content, tmp_path / "t") == {"a.js": b"1"}


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "..", "a/..", "C:/a", "a\\..\\b"])
@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, pack: Callable[..., bytes], name: str) -> None:
    """Traversal and absolute paths, of Windows too; nothing appears beside the target."""
    refusal(pack((name, b"x")), tmp_path / "t")
    assert {path.name for path in tmp_path.iterdir()} <= {"t"}


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_only_files_and_folders_are_taken(tmp_path: Path, kind: bytes) -> None:
    """Links, devices, pipes and sparse files are refused by name."""
    assert "odd" in refusal(tar_of(("a", b"1"), header("odd", kind, "a")), tmp_path / "t")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    """Zip keeps links as files with another mode."""
    link = zipfile.ZipInfo("odd")
    link.external_attr = 0o120777 << 16
    assert "a link, `odd`" in refusal(zip_of((link, b"/etc/passwd")), tmp_path / "t")


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.js", "a.js"), ("a.js", "A.js"), ("lib/a", "LIB/b"), ("é", "e\u0301"), ("a", "a/b"), ("a/b", "a")],
)
def test_names_that_collide_are_refused(tmp_path: Path, one: str, other: str) -> None:
    """Twice the same, or the same on a file system that folds case or Unicode forms."""
    refusal(tar_of((one, b"1"), (other, b"2")), tmp_path / "t")


def test_a_large_archive_is_refused_unread(tmp_path: Path) -> None:
    """The message has its size and the limit."""
    limits = ArchiveLimits(packed=1024 * 1024, unpacked=10, files=10)
    message = refusal(b"x" * 1024 * 1024 * 2, tmp_path / "t", limits)
    assert message == "The archive has 2.0 MiB; 1 MiB are allowed."


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_a_bomb_is_refused_when_it_crosses_the_limit(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    """However small it is packed."""
    content = pack(("zeros", bytes(5_000_000)))
    assert len(content) < LIMITS.packed
    assert "once unpacked" in refusal(content, tmp_path / "t")


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_too_many_files_are_refused(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    """The eleventh of ten."""
    assert "more than 10 files" in refusal(pack(*[(f"{i}", b"") for i in range(11)]), tmp_path / "t")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_whose_compression_has_no_bounded_steps_is_refused(tmp_path: Path, method: int) -> None:
    """A few hundred bytes of bzip2 become a gigabyte in one step, before anything could be counted."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("index.js", b"x")
    assert "another method than deflate" in refusal(buffer.getvalue(), tmp_path / "out")


def test_a_chain_of_extension_headers_is_refused(tmp_path: Path) -> None:
    """The reader calls itself for each."""
    link = tarfile.TarInfo("././@LongLink")
    link.type, link.size = tarfile.GNUTYPE_LONGNAME, 2
    content = (link.tobuf(tarfile.USTAR_FORMAT) + b"a".ljust(512, b"\0")) * 2000
    assert "can't be read" in refusal(content + b"\0" * 1024, tmp_path / "out", LIMITS_OF_LARGE)


def test_too_many_folders_are_refused(tmp_path: Path) -> None:
    """Those that only a deep path implies count too."""
    assert "more than 10 folders" in refusal(tar_of(("a/" * 11 + "b", b"")), tmp_path / "t")


def test_a_long_path_is_refused(tmp_path: Path) -> None:
    """As a whole and in each of its names."""
    assert "too long" in refusal(tar_of(("a" * 256, b"")), tmp_path / "t")
    assert "too long" in refusal(tar_of(("/".join(["abcdefg"] * 65), b"")), tmp_path / "u")


def test_an_archive_without_files_is_refused(tmp_path: Path) -> None:
    """Nothing at all, folders alone, or only what is left out."""
    assert "no files" in refusal(tar_of(), tmp_path / "t")
    assert "no files" in refusal(tar_of(header("a", tarfile.DIRTYPE), (".git/a", b"")), tmp_path / "u")


def test_a_cut_off_archive_is_refused(tmp_path: Path) -> None:
    """In the middle of a file, of the compression, or of a zip."""
    whole = tar_of(("a.js", b"x" * 5000), mode="w")
    for number, content in enumerate(
        [whole[:3000], tar_of(("a", b"xyz"))[:-12], zip_of(("a", b"xyz"))[:-10], b"", b"x"]
    ):
        refusal(content, tmp_path / str(number))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    """With the remedy to pack it without a password."""
    content = bytearray(zip_of(("a.js", b"x")))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refusal(bytes(content), tmp_path / "t")


def test_a_long_extension_header_is_refused(tmp_path: Path) -> None:
    """It would be read into memory whole."""
    info = header("long", tarfile.XHDTYPE)
    info.size = 100_000
    assert "extended header" in refusal(tar_of(info, mode="w"), tmp_path / "t", ArchiveLimits(10**6, 10**6, 10))


def test_long_names_of_both_tar_dialects_are_read(tmp_path: Path) -> None:
    """PAX and GNU keep names over 100 characters in extension headers."""
    name = "n" * 150
    for format_ in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
            tar.addfile(tarfile.TarInfo(name))
        assert unpack(buffer.getvalue(), tmp_path / str(format_)) == {name: b""}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b.js", "a\\b.js", "a\n.js", "x" * 300 + ".js", "\ud800.js"])
def test_a_single_file_needs_a_plain_name(tmp_path: Path, name: str) -> None:
    """Else a 422, and nothing is written."""
    with pytest.raises(Problem, match=r"."):
        unpack_upload(SingleFile(name, "1"), tmp_path / "t", LIMITS)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("code", ["", "  \n", "\ud800", "x" * 200_000])
def test_a_single_file_needs_code(tmp_path: Path, code: str) -> None:
    """Some, in Unicode, within the limit."""
    with pytest.raises(Problem) as raised:
        unpack_upload(SingleFile("a.js", code), tmp_path / "t", LIMITS)
    assert raised.value.errors[0].field == "code"


def test_a_single_file_becomes_one(tmp_path: Path) -> None:
    """Byte for byte, in UTF-8."""
    unpack_upload(SingleFile("a.js", "ä\r\n"), tmp_path / "t", LIMITS)
    assert (tmp_path / "t/a.js").read_bytes() == "ä\r\n".encode()


NAMES = st.one_of(
    st.sampled_from(
        ["a", "A", "../x", "a/b", "/x", "a/../../x", ".", "..", "node_modules/x", "a//b", "a/./b", "é", "\x00a"]
    ),
    st.text(min_size=1, max_size=20),
)
KINDS = st.sampled_from([tarfile.REGTYPE] * 4 + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])


@st.composite
def hostile_tars(draw: st.DrawFn) -> bytes:
    """Tars of wild names and kinds, some with bytes changed."""
    members = []
    for name, kind, size in draw(st.lists(st.tuples(NAMES, KINDS, st.integers(0, 2000)), max_size=8)):
        info = header(name, kind, draw(NAMES) if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else "")
        info.size = size if kind == tarfile.REGTYPE else 0
        members.append(info)
    try:
        content = bytearray(tar_of(*members, mode="w"))
    except ValueError:  # a name that tarfile itself does not write
        content = bytearray(tar_of(("a", b"1"), mode="w"))
    for _ in range(draw(st.integers(0, 3))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


@st.composite
def hostile_zips(draw: st.DrawFn) -> bytes:
    """Zips of wild names, some with bytes changed."""
    members = draw(st.lists(st.tuples(NAMES, st.binary(max_size=50)), max_size=6, unique_by=lambda member: member[0]))
    try:
        content = bytearray(zip_of(*members))
    except (ValueError, IndexError, UserWarning):  # a name that zipfile itself does not write
        content = bytearray(zip_of(("a", b"1")))
    for _ in range(draw(st.integers(0, 3))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


@given(content=st.one_of(hostile_tars(), hostile_zips(), st.binary(max_size=2000)))
@settings(max_examples=400, deadline=None)
def test_whatever_comes_in_nothing_gets_out(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Every archive is unpacked into plain files within the limits, or refused with a 422; nothing appears outside."""
    root = tmp_path_factory.mktemp("hostile")
    try:
        files = unpack(content, root / "t")
    except Problem as problem:
        status = problem.status
    else:
        status = 200
        assert 0 < len(files) <= LIMITS.files
        assert sum(map(len, files.values())) <= LIMITS.unpacked
    assert status in {200, 422}
    assert {path.name for path in root.iterdir()} <= {"t"}
    assert not any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in root.rglob("*"))
