"""An upload holds what belongs to a function, and nothing else."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from cloudserve.cli.output import CommandError
from cloudserve.cli.packing import Upload, name_for, pack


def _members(upload: Upload) -> dict[str, tarfile.TarInfo]:
    assert upload.archive is not None
    with tarfile.open(fileobj=io.BytesIO(upload.archive), mode="r:gz") as tar:
        return {member.name: member for member in tar.getmembers()}


def _tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_a_file_is_sent_as_text(tmp_path: Path) -> None:
    """With its name, which tells the language."""
    (tmp_path / "hello.py").write_text("handler = 'hé'\n", "utf-8")
    assert pack(tmp_path / "hello.py") == Upload(filename="hello.py", code="handler = 'hé'\n")


def test_a_folder_goes_without_what_is_never_sources(tmp_path: Path) -> None:
    """At any depth, and its own ignore file neither."""
    _tree(tmp_path, "index.js", "lib/a.js", ".git/HEAD", "node_modules/x/y.js", "lib/__pycache__/a.pyc", ".venv/pyvenv")
    (tmp_path / ".cloudserveignore").write_text("*.md\n")
    _tree(tmp_path, "README.md")
    assert list(_members(pack(tmp_path))) == ["index.js", "lib/a.js"]


def test_equal_folders_make_equal_archives(tmp_path: Path) -> None:
    """Whenever and in whatever order their files were written."""
    first = _tree(tmp_path / "one" / "f", "b.py", "a.py")
    second = _tree(tmp_path / "two" / "f", "a.py", "b.py")
    os.utime(second / "a.py", (1, 1))
    assert pack(first) == pack(second)


def test_of_a_files_mode_the_executable_bit_is_kept(tmp_path: Path) -> None:
    """And nothing about its owner."""
    _tree(tmp_path, "run.sh", "data.txt")
    (tmp_path / "run.sh").chmod(0o700)
    members = _members(pack(tmp_path))
    assert (members["run.sh"].mode, members["data.txt"].mode) == (0o755, 0o644)
    assert members["run.sh"].uname == ""


def test_a_link_is_refused_by_name(tmp_path: Path) -> None:
    """Unless the ignore file names it."""
    _tree(tmp_path, "index.js")
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(CommandError, match="passwd is a link"):
        pack(tmp_path)
    (tmp_path / ".cloudserveignore").write_text("passwd\n")
    assert list(_members(pack(tmp_path))) == ["index.js"]


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    """A missing path, an empty folder, a file that is not text."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "image.js").write_bytes(b"\xff\xfe\x00")
    for name, said in (("missing.js", "no file or folder"), ("empty", "no file to deploy"), ("image.js", "not UTF-8")):
        with pytest.raises(CommandError, match=said):
            pack(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "name"),
    [("hello.py", "hello"), ("My Function.mjs", "my-function"), ("a_b.test.ts", "a-b"), ("--x--.js", "x")],
)
def test_a_path_suggests_the_name(path: str, name: str) -> None:
    """In lower case, with hyphens."""
    assert name_for(Path(path)) == name


def test_a_path_without_a_letter_suggests_none() -> None:
    """Then --name is needed."""
    with pytest.raises(CommandError, match="--name"):
        name_for(Path("___.js"))


def test_options_travel_beside_an_archive_and_within_the_json_of_a_file() -> None:
    """As the API takes them."""
    assert Upload("a.js", code="1").request({"name": "a"}) == {"json": {"name": "a", "filename": "a.js", "code": "1"}}
    request = Upload("a.tar.gz", archive=b"x").request({"name": "a"})
    assert json.loads(request["data"]["options"]) == {"name": "a"}
    assert request["files"]["archive"][1] == b"x"
