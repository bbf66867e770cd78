"""How much is in a folder."""

from pathlib import Path

from cloudserve.sandbox.watch.folders import contents


def test_files_and_folders_are_counted(tmp_path: Path) -> None:
    """With what they take up; what a link leads to is not theirs."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("/usr", target_is_directory=True)
    size, inodes = contents(str(tmp_path), most_inodes=100)
    assert inodes == 4
    assert 100_000 <= size < 200_000


def test_a_hole_takes_up_nothing(tmp_path: Path) -> None:
    """A file's length is no use of the disk."""
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 30)
    assert contents(str(tmp_path), most_inodes=100).size < 1 << 20


def test_a_look_ends_above_the_bound(tmp_path: Path) -> None:
    """However much there is."""
    for number in range(20):
        (tmp_path / str(number)).touch()
    assert contents(str(tmp_path), most_inodes=5).inodes == 6
    assert contents(str(tmp_path / "gone"), most_inodes=5) == (0, 0)
