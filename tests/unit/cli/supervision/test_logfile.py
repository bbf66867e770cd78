"""The bounded log file."""

from pathlib import Path

from cloudserve.cli.supervision.logfile import RotatingFile


def test_keeps_the_newest_and_no_more(tmp_path: Path) -> None:
    """At its bound the file moves on, and the oldest is dropped."""
    log = RotatingFile(tmp_path / "platform.log", max_bytes=10, kept=2)
    for number in range(5):
        log.write(b"line %d\n" % number)
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["platform.log", "platform.log.1", "platform.log.2"]
    assert [(tmp_path / name).read_text() for name in names] == ["line 4\n", "line 3\n", "line 2\n"]


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A file that is there is appended to, and `tail` returns its last lines."""
    for text in (b"one\ntwo\n", b"three\n"):
        log = RotatingFile(tmp_path / "platform.log")
        log.write(text)
        assert log.tail(2).splitlines()[-1] == text.decode().splitlines()[-1]
        log.close()
    assert (tmp_path / "platform.log").read_text() == "one\ntwo\nthree\n"


def test_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Functions print into the log; nobody else reads it."""
    log = RotatingFile(tmp_path / "platform.log")
    log.close()
    assert log.path.stat().st_mode & 0o777 == 0o600
