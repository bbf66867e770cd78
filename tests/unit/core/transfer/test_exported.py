"""What an import refuses in a file whose bytes are all right."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloudserve.core.transfer.exported import ExportFile
from cloudserve.core.transfer.failures import Damaged, TransferError, WrongPassphrase
from cloudserve.core.transfer.head import FORMAT
from cloudserve.core.transfer.reader import ArchiveReader
from cloudserve.core.transfer.writer import ArchiveWriter
from tests.homes import PASSPHRASE, fill, imported, is_empty, local_home, written

Change = Callable[[dict[str, bytes]], None]


@pytest.fixture
async def members(tmp_path: Path) -> dict[str, bytes]:
    """The members of an export, in their order."""
    async with local_home(tmp_path / "origin") as home:
        await fill(home)
        reader = ArchiveReader.open(await written(home, tmp_path / "origin.tar"))
    members = {member.name: reader.content(member.name) for member in reader.members()}
    reader.close()
    return members


def _head(**changes: Any) -> Change:
    def change(members: dict[str, bytes]) -> None:
        members["export.json"] = orjson.dumps(orjson.loads(members["export.json"]) | changes)

    return change


def _rows(edit: Callable[[list[dict[str, Any]]], None]) -> Change:
    def change(members: dict[str, bytes]) -> None:
        rows = [orjson.loads(line) for line in gzip.decompress(members["rows.jsonl.gz"]).splitlines()]
        edit(rows)
        members["rows.jsonl.gz"] = gzip.compress(b"".join(orjson.dumps(row) + b"\n" for row in rows))

    return change


def _without(name: str) -> Change:
    return lambda members: [members.pop(member) for member in list(members) if name in member] and None


def _replaced(name: str, content: bytes) -> Change:
    return lambda members: members.update({name: content})


def _functions(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row["function"] for row in rows if "function" in row and row["function"]["secrets"]]


CASES: dict[str, tuple[Change, type[TransferError], str]] = {
    "a newer format": (_head(format=FORMAT + 1, madeBy="9.9"), TransferError, "with CloudServe 9.9, or a later one"),
    "no head": (_without("export.json"), Damaged, "no export.json"),
    "a head that is none": (_replaced("export.json", b"[1"), Damaged, "export.json can't be read"),
    "an unknown field": (_head(more=1), Damaged, "export.json can't be read"),
    "another salt": (_head(sealing={"salt": "0" * 32, "check": "0" * 70}), WrongPassphrase, "Remedy"),
    "no rows": (_without("rows"), Damaged, "no rows.jsonl.gz"),
    "rows that are not packed": (_replaced("rows.jsonl.gz", b"{}\n"), Damaged, "can't be unpacked"),
    "rows that end early": (
        lambda members: members.update({"rows.jsonl.gz": members["rows.jsonl.gz"][:-20]}),
        Damaged,
        "can't be unpacked",
    ),
    "a line that is none": (_replaced("rows.jsonl.gz", gzip.compress(b"{\n")), Damaged, "a line of rows.jsonl.gz"),
    "a row with a field more": (_rows(lambda rows: rows[0].update(more=1)), Damaged, r"\(more\)"),
    "a function without its owner": (
        _rows(lambda rows: rows.pop(next(i for i, row in enumerate(rows) if "owner" in row))),
        Damaged,
        "the owner of the function .* is not in the export",
    ),
    "an object that is missing": (
        _without("bundle/1/"),
        Damaged,
        "the object .*/bundle/1/bundle.tar.gz of the function",
    ),
    "an object outside of the store": (_replaced("objects/../../passwd", b"x"), Damaged, "that none can have"),
    "an object of another hash": (
        _rows(lambda rows: _functions(rows)[0]["versions"][0].update(bundleHash="0" * 64)),
        Damaged,
        "the object .* of the function",
    ),
    "a secret of another place": (
        _rows(lambda rows: _functions(rows)[0]["secrets"][0].update(name="OTHER")),
        Damaged,
        "what opens the secret .*/OTHER",
    ),
    "history that is none": (_replaced("history.jsonl.gz", gzip.compress(b"{}}\n")), Damaged, "history.jsonl.gz"),
}


@pytest.mark.parametrize("case", CASES)
async def test_it_is_refused_before_anything_is_written(case: str, members: dict[str, bytes], tmp_path: Path) -> None:
    """Whatever is wrong in it."""
    change, kind, message = CASES[case]
    change(members)
    file = tmp_path / "changed.tar"
    with file.open("xb") as target:
        writer = ArchiveWriter(target)
        for name, content in members.items():
            writer.add(name, content)
        writer.finish()
    async with local_home(tmp_path / "target") as home:
        with pytest.raises(kind, match=message):
            await imported(home, file)
        assert await is_empty(home)


def test_a_line_may_not_be_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to more than any function has is not read into memory."""
    monkeypatch.setattr("cloudserve.core.transfer.reader.LINE_BYTES", 1_000)
    file = tmp_path / "file.tar"
    with file.open("xb") as target:
        writer = ArchiveWriter(target)
        writer.add("rows.jsonl.gz", gzip.compress(b" " * 2_000))
        writer.finish()
    reader = ArchiveReader.open(file)
    with pytest.raises(Damaged, match="more than 1000 bytes"):
        list(reader.lines("rows.jsonl.gz"))
    reader.close()


async def test_a_file_that_is_refused_is_closed(members: dict[str, bytes], tmp_path: Path) -> None:
    """An unclosed one would be a warning, which is an error here."""
    with pytest.raises(WrongPassphrase):
        ExportFile.open(tmp_path / "origin.tar", passphrase=PASSPHRASE[::-1])
