"""Packing is the same everywhere; unpacking is whole, and safe whatever the archive."""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudserve.core.trees import BadTree, pack_tree, unpack_tree


def _make(folder: Path) -> Path:
    """Makes a tree with everything that is kept: files, an executable, an empty folder, links."""
    (folder / "lib" / "empty").mkdir(parents=True)
    (folder / "main.py").write_text("print('hej')\n")
    (folder / "lib" / "ünïcode").write_bytes(bytes(range(256)) * 100)
    (folder / "lib" / "tool").write_text("#!/bin/sh\n")
    (folder / "lib" / "tool").chmod(0o700)
    (folder / "lib" / "back").symlink_to("../main.py")
    (folder / "shelf").symlink_to("lib")
    return folder


def _described(folder: Path) -> dict[str, object]:
    return {
        path.relative_to(folder).as_posix(): (
            str(path.readlink())
            if path.is_symlink()
            else (stat.S_IMODE(path.stat().st_mode), path.read_bytes() if path.is_file() else None)
        )
        for path in sorted(folder.rglob("*"))
    }


def _archive(path: Path, *members: tuple[str, bytes, str]) -> Path:
    """Writes an archive of (name, type, content or link target) members, as an attacker would."""
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
            else:
                member.linkname = text
                archive.addfile(member)
    return path


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    """Contents, the executable bit, empty folders and links; other bits of the mode are made plain."""
    pack_tree(_make(tmp_path / "a"), tmp_path / "a.tar.gz")
    unpack_tree(tmp_path / "a.tar.gz", tmp_path / "b")
    expected = _described(tmp_path / "a")
    expected["lib/tool"] = (0o755, b"#!/bin/sh\n")
    assert _described(tmp_path / "b") == expected


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    """Workers run as another user and must be able to read."""
    pack_tree(_make(tmp_path / "a"), tmp_path / "a.tar.gz")
    before = os.umask(0o077)
    try:
        unpack_tree(tmp_path / "a.tar.gz", tmp_path / "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "b" / "main.py").stat().st_mode) == 0o644


def test_equal_trees_make_equal_archives(tmp_path: Path) -> None:
    """Whenever, in whatever order and with whatever modes their files were made."""
    pack_tree(_make(tmp_path / "a"), tmp_path / "a.tar.gz")
    pack_tree(_make(tmp_path / "b"), tmp_path / "other name.tar.gz")
    for path in (tmp_path / "b").rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    (tmp_path / "b" / "main.py").chmod(0o600)
    pack_tree(tmp_path / "b", tmp_path / "c.tar.gz")
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("*.tar.gz")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: (folder / "out").symlink_to("../x"), "out leads out"),
        (lambda folder: (folder / "out").symlink_to("/etc/passwd"), "out leads out"),
        (lambda folder: (folder / "self").symlink_to("self"), "self goes in circles"),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe is neither"),
    ],
)
def test_what_can_not_be_packed_is_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    """Links that lead out, and special files; no archive is left."""
    (tmp_path / "a").mkdir()
    make(tmp_path / "a")
    with pytest.raises(BadTree, match=message):
        pack_tree(tmp_path / "a", tmp_path / "a.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


_FILE, _LINK, _HARD, _FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../x", _FILE, "")], "no path inside"),
        ([("/x", _FILE, "")], "no path inside"),
        ([("a/../../x", _FILE, "")], "no path inside"),
        ([("./x", _FILE, "")], "no path inside"),
        ([("a//x", _FILE, "")], "no path inside"),
        ([("a", _LINK, "/etc")], "leads out"),
        ([("a", _LINK, "..")], "leads out"),
        ([("a/b", _LINK, "../../x")], "leads out"),
        ([("d/e", _FOLDER, ""), ("up", _LINK, "d/l/../.."), ("d/l", _LINK, "..")], "leads out"),
        ([("a", _LINK, "b"), ("b", _LINK, "a")], "circles"),
        ([("a", _LINK, "d"), ("d", _FOLDER, ""), ("a/x", _FILE, "")], "below a, which is no folder"),
        ([("a", _LINK, "b"), ("a", _FILE, "x")], "twice"),
        ([("a/b", _FILE, ""), ("a", _FILE, "")], "twice"),
        ([("a", _FILE, ""), ("a/b", _FILE, "")], "below a"),
        ([("a", _HARD, "/etc/passwd")], "neither a file"),
        ([("a", tarfile.CHRTYPE, "")], "neither a file"),
    ],
)
def test_an_unsafe_archive_is_refused(tmp_path: Path, members: list[tuple[str, bytes, str]], message: str) -> None:
    """Nothing of it stays, and nothing is written outside."""
    archive = _archive(tmp_path / "a.tar.gz", *members)
    with pytest.raises(BadTree, match=message):
        unpack_tree(archive, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    """Cut off anywhere, or no archive at all."""
    pack_tree(_make(tmp_path / "a"), tmp_path / "a.tar.gz")
    whole = (tmp_path / "a.tar.gz").read_bytes()
    for content in (whole[: len(whole) // 2], whole[:5], b"", b"no archive"):
        (tmp_path / "cut.tar.gz").write_bytes(content)
        with pytest.raises(BadTree, match="damaged"):
            unpack_tree(tmp_path / "cut.tar.gz", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_target_that_exists_is_left_alone(tmp_path: Path) -> None:
    """Unpacking never mixes two trees."""
    pack_tree(_make(tmp_path / "a"), tmp_path / "a.tar.gz")
    (tmp_path / "b").mkdir()
    with pytest.raises(FileExistsError):
        unpack_tree(tmp_path / "a.tar.gz", tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []


_steps = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=5).map("/".join)
_members = st.lists(
    st.one_of(st.tuples(_steps, st.just(_FOLDER), st.just("")), st.tuples(_steps, st.just(_LINK), _steps)), max_size=8
)


@given(members=_members)
@settings(deadline=None)
def test_no_link_of_an_unpacked_tree_leads_out(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str]]
) -> None:
    """Whatever links an archive combines: it is refused, or the kernel finds each of them inside."""
    folder = tmp_path_factory.mktemp("links")
    archive = _archive(folder / "a.tar.gz", *members)
    try:
        unpack_tree(archive, folder / "b")
    except BadTree:
        return
    root = (folder / "b").resolve()
    for path in (folder / "b").rglob("*"):
        assert path.resolve().is_relative_to(root)
