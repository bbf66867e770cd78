"""The spool: lines survive their process, arrive in order, and take a bounded share of the disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.gateway.spool import Spool

MANY = 1 << 20


def drained(spool: Spool, most: int = MANY) -> list[bytes]:
    """Delivers everything, and returns the lines in the order they came."""
    lines: list[bytes] = []
    while (waiting := spool.next_lines(most)) is not None:
        file, block = waiting
        lines += block.splitlines()
        file.deliver(len(block))
    return lines


def test_lines_come_out_as_they_went_in(tmp_path: Path) -> None:
    """In order, over several files, and those that are through are gone from the disk."""
    spool = Spool(tmp_path, file_bytes=500)
    sent = [b"line %d" % number for number in range(200)]
    for line in sent:
        spool.append(line + b"\n")
    assert len(list(tmp_path.iterdir())) > 3
    assert drained(spool, 64) == sent
    assert len(list(tmp_path.iterdir())) == 1
    spool.close()
    assert list(tmp_path.iterdir()) == []


@given(
    lines=st.lists(st.binary(max_size=200).map(lambda line: line.replace(b"\n", b"")), max_size=50),
    most=st.integers(1, 300),
)
def test_any_block_size_gives_the_same_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], most: int
) -> None:
    """Also one that is smaller than a line."""
    spool = Spool(tmp_path_factory.mktemp("spool"), file_bytes=300)
    for line in lines:
        spool.append(line + b"\n")
    assert drained(spool, most) == [part for line in lines for part in (line + b"\n").splitlines()]
    spool.close()


def test_what_a_living_process_holds_is_not_taken(tmp_path: Path) -> None:
    """Two gateways may share a folder."""
    one, other = Spool(tmp_path), Spool(tmp_path)
    one.append(b"mine\n")
    assert other.adopt() == 0
    assert drained(other) == []
    assert drained(one) == [b"mine"]


def test_what_a_dead_process_left_is_taken_up_without_what_it_had_delivered(tmp_path: Path) -> None:
    """A killed one: its lock went with it. Its lines come before those of the new process."""
    program = """
import os, sys
from pathlib import Path
from cloudserve.gateway.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(10):
    spool.append(b"old %d\\n" % number)
file, lines = spool.next_lines(14)
file.deliver(len(lines))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, env={"PYTHONPATH": ".src"}, timeout=30)
    spool = Spool(tmp_path)
    spool.append(b"new\n")
    assert spool.adopt() == 1
    assert drained(spool) == [*(b"old %d" % number for number in range(2, 10)), b"new"]
    assert spool.adopt() == 0


def test_what_is_not_delivered_at_the_end_stays_for_the_next(tmp_path: Path) -> None:
    """An orderly end while the store is away."""
    first = Spool(tmp_path)
    first.append(b"left\n")
    first.close()
    second = Spool(tmp_path)
    assert second.adopt() == 1
    assert drained(second) == [b"left"]


@pytest.mark.parametrize("torn", [b"half a li", b"\n\n", b"whole\nhalf"])
def test_a_torn_end_is_passed_over(tmp_path: Path, torn: bytes) -> None:
    """Whole lines are not."""
    first = Spool(tmp_path)
    first.append(b"good\n")
    first.append(torn)
    first.close()
    second = Spool(tmp_path)
    second.adopt()
    assert [line for line in drained(second) if line] == [b"good", *([b"whole"] if b"whole" in torn else [])]
    second.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"00", b"not a number at all..\nline\n"])
def test_a_damaged_file_is_read_as_far_as_it_goes(tmp_path: Path, content: bytes) -> None:
    """A header that was cut off or overwritten harms nobody else."""
    (tmp_path / "1-dead-1.spool").write_bytes(content)
    spool = Spool(tmp_path)
    spool.adopt()
    assert [line for line in drained(spool) if line] in ([], [b"line"])
    spool.append(b"new\n")
    assert drained(spool) == [b"new"]


def test_a_full_spool_loses_the_oldest_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The disk of the platform is not the store's to fill."""
    spool = Spool(tmp_path, file_bytes=1_000, most_bytes=5_000)
    for number in range(1_000):
        spool.append(b"line %4d\n" % number)
    left = drained(spool)
    assert left[-1] == b"line  999"
    assert left == [b"line %4d" % number for number in range(1_000 - len(left), 1_000)]
    assert 300 <= len(left) <= 600
    assert spool.lost_bytes > 0
    assert "are lost" in caplog.text


def test_a_disk_that_takes_half_a_line_spoils_that_line_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next line begins on a line of its own."""
    spool = Spool(tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:4]))
    with pytest.raises(OSError, match="4 of 9 bytes"):
        spool.append(b"too long\n")
    monkeypatch.undo()
    spool.append(b"good\n")
    assert drained(spool) == [b"too ", b"good"]
