"""An export's container: what was written comes back, and whatever else a file holds is refused."""

import tarfile
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudserve.core.transfer.archive import Manifest, Member, header
from cloudserve.core.transfer.failures import Damaged
from cloudserve.core.transfer.reader import ArchiveReader
from cloudserve.core.transfer.writer import ArchiveWriter

LONG = f"objects/{'x' * 300}/layer.tar.gz"
MEMBERS = {"export.json": b"{}", LONG: b"layer" * 1_000, "objects/empty": b"", "objects/block": b"b" * 512}


def _archive(members: dict[str, bytes]) -> bytes:
    with TemporaryFile() as file:
        writer = ArchiveWriter(file)
        for name, content in members.items():
            writer.add(name, content)
        writer.finish()
        file.seek(0)
        return file.read()


ARCHIVE = _archive(MEMBERS)


def _refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(Damaged) as refusal:
        ArchiveReader.open(path)
    return str(refusal.value)


def test_members_come_back_as_they_were_added(tmp_path: Path) -> None:
    """From bytes and from files, with names of any length, in their order; any tar reads them too."""
    file, source = tmp_path / "file.tar", tmp_path / "source"
    with file.open("xb") as target:
        writer = ArchiveWriter(target)
        for name, content in MEMBERS.items():
            source.write_bytes(content)
            writer.add(name, source)
        assert LONG in writer
        writer.finish()
    assert file.read_bytes() == ARCHIVE
    reader = ArchiveReader.open(file)
    assert [member.name for member in reader.members()] == list(MEMBERS)
    assert [member.name for member in reader.members("objects/e")] == ["objects/empty"]
    for name, content in MEMBERS.items():
        reader.extract(name, tmp_path / "copy")
        assert reader.content(name) == (tmp_path / "copy").read_bytes() == content
        (tmp_path / "copy").unlink()
    with pytest.raises(Damaged, match=r"no rows\.jsonl\.gz"):
        reader.content("rows.jsonl.gz")
    reader.close()
    with tarfile.open(file) as tar:
        assert tar.getnames() == [*MEMBERS, "manifest.json"]


def test_a_name_is_added_once(tmp_path: Path) -> None:
    """Nor is the manifest's name anybody else's."""
    with (tmp_path / "file").open("xb") as file:
        writer = ArchiveWriter(file)
        writer.add("a", b"")
        for name in ("a", "manifest.json"):
            with pytest.raises(ValueError, match=name):
                writer.add(name, b"")


def test_a_file_that_grows_while_it_is_added_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header has told its size by then."""
    source = tmp_path / "source"
    source.write_bytes(b"12")
    monkeypatch.setattr("cloudserve.core.transfer.writer._chunks", lambda content: iter([b"123"]))
    with (tmp_path / "file").open("xb") as file, pytest.raises(OSError, match="2 bytes, and 3"):
        ArchiveWriter(file).add("a", source)


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    """It only grows, and never past the file's size."""
    (tmp_path / "file").write_bytes(ARCHIVE)
    told: list[tuple[int, int]] = []
    ArchiveReader.open(tmp_path / "file", lambda done, total: told.append((done, total))).close()
    assert told == sorted(told)
    assert all(0 < done < total == len(ARCHIVE) for done, total in told)


def _places() -> dict[str, int]:
    """Returns a byte of every kind that there is in the archive."""
    manifest = ARCHIVE[ARCHIVE.rindex(b'{"members"') :].rstrip(b"\0")
    places, position = {}, 0
    for name, content in {**MEMBERS, "manifest.json": manifest}.items():
        size = len(content)
        begin = position + len(header(name, size))
        for part in range(position, begin, 512):
            places |= {f"{name}: header at {at}": part + at for at in (0, 99, 100, 124, 136, 148, 156, 257, 345, 511)}
        if size:
            places |= {f"{name}: first": begin, f"{name}: middle": begin + size // 2, f"{name}: last": begin + size - 1}
        if size % 512:
            places |= {f"{name}: filling": begin + size, f"{name}: end of filling": begin + size + (-size % 512) - 1}
        position = begin + size + (-size % 512)
    places |= {"first zero of the end": position, "second block of the end": position + 512, "last": len(ARCHIVE) - 1}
    return places


@pytest.mark.parametrize("place", _places().values(), ids=list(_places()))
@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_a_changed_byte_is_found_wherever_it_is(tmp_path: Path, place: int, bit: int) -> None:
    """In headers, contents, what fills up, the manifest and the end; the remedy is named."""
    damaged = bytearray(ARCHIVE)
    damaged[place] ^= bit
    assert "Remedy" in _refused(tmp_path / "file", bytes(damaged))


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(ARCHIVE) - 1), bits=st.integers(1, 255))
def test_any_changed_byte_is_found(tmp_path_factory: pytest.TempPathFactory, place: int, bits: int) -> None:
    """Every byte of an archive counts."""
    damaged = bytearray(ARCHIVE)
    damaged[place] ^= bits
    _refused(tmp_path_factory.getbasetemp() / "changed.tar", bytes(damaged))


@settings(max_examples=100, deadline=None)
@given(size=st.integers(0, len(ARCHIVE) - 1))
def test_a_file_that_was_cut_off_is_refused(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    """Wherever the copying ended."""
    _refused(tmp_path_factory.getbasetemp() / "cut.tar", ARCHIVE[:size])


@pytest.mark.parametrize(
    "change",
    [
        lambda: ARCHIVE + b"\0",
        lambda: ARCHIVE + bytes(10_240),
        lambda: ARCHIVE + ARCHIVE,
        lambda: ARCHIVE[:-10_240] if len(ARCHIVE) > 10_240 else b"",
        lambda: b"",
        lambda: b"not a tar archive",
        lambda: bytes(10_240),
        lambda: _plain_tar({"a": b"x"}),
        lambda: _plain_tar({"a": b"x", "manifest.json": b"not JSON"}),
        lambda: _plain_tar({"a": b"x", "manifest.json": Manifest(members=[]).content()}),
        lambda: _plain_tar({"manifest.json": _listing("a", b"x")}),
        lambda: _plain_tar({"a": b"x", "manifest.json": _listing("a", b"x") + b"\n"}),
    ],
    ids=[
        "a byte more", "zeros more", "twice", "a record less", "empty", "no tar", "zeros", "no manifest", "no JSON",
        "a member that is not listed", "a member that is not there", "a manifest of another form",
    ],
)  # fmt: skip
def test_what_no_export_has_written_is_refused(tmp_path: Path, change: Callable[[], bytes]) -> None:
    """However close it comes."""
    _refused(tmp_path / "file", change())


def test_a_tar_of_the_same_form_is_as_good(tmp_path: Path) -> None:
    """So that the cases above are refused for what they change, and nothing else."""
    (tmp_path / "file").write_bytes(_plain_tar({"a": b"x", "manifest.json": _listing("a", b"x")}))
    reader = ArchiveReader.open(tmp_path / "file")
    assert reader.content("a") == b"x"
    reader.close()


def _listing(name: str, content: bytes) -> bytes:
    return Manifest(members=[Member(name=name, size=len(content), sha256=sha256(content).hexdigest())]).content()


def _plain_tar(members: dict[str, bytes]) -> bytes:
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            tar.addfile(info, BytesIO(content))
    return file.getvalue()
