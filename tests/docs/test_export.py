"""docs/export.md tells the truth: whoever follows it reads an export without this code."""

import base64
import gzip
import hashlib
import json
import re
import tarfile
from pathlib import Path
from typing import Any

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloudserve.core.transfer import head, snapshots
from cloudserve.core.transfer.passphrase import MIN_LENGTH
from tests.homes import PASSPHRASE, SECRET, fill, local_home, written

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text()


def test_the_page_has_the_numbers_of_the_code() -> None:
    """The format's, the passphrase's and the builds'."""
    assert f"Version {head.FORMAT}. " in PAGE
    assert f"The passphrase has {MIN_LENGTH} characters or more" in PAGE
    assert f"the newest {snapshots.BUILDS:,} of each function" in PAGE


async def test_the_format_is_the_one_of_the_page(tmp_path: Path) -> None:
    """Read with a tar, JSON and two ciphers, and nothing of CloudServe's."""
    async with local_home(tmp_path) as home:
        await fill(home)
        file = await written(home, tmp_path / "file.tar")
    with tarfile.open(file) as tar:
        members = {info.name: info for info in tar}
        content = {name: tar.extractfile(info).read() for name, info in members.items()}  # type: ignore[union-attr]
    assert {(info.mode, info.mtime, info.uid, info.gid) for info in members.values()} == {(0o600, 0, 0, 0)}
    documented = re.findall(r"^\| `(\S+)` \| ", PAGE.partition("## The format")[2], re.MULTILINE)
    names = list(dict.fromkeys("objects/KEY" if name.startswith("objects/") else name for name in members))
    assert names == documented

    *listed, last = members
    assert last == "manifest.json"
    assert json.loads(content["manifest.json"]) == {
        "members": [
            {"name": name, "size": len(content[name]), "sha256": hashlib.sha256(content[name]).hexdigest()}
            for name in listed
        ]
    }
    export = json.loads(content["export.json"])
    assert set(re.findall(r"^\| `export.json` \| (.*) \|$", PAGE, re.MULTILINE)[0].split("`")[1::2]) == set(export)

    cipher = AESGCM(_key(export["sealing"]["salt"]))
    check = bytes.fromhex(export["sealing"]["check"])
    assert cipher.decrypt(check[:12], check[12:], b"cloudserve export") == b"cloudserve export"
    rows = [json.loads(line) for line in gzip.decompress(content["rows.jsonl.gz"]).splitlines()]
    owners = [row["owner"] for row in rows if "owner" in row]
    functions = [row["function"] for row in rows if "function" in row]
    assert {tuple(owner) for owner in owners} == {("owner", "keys")}
    assert {tuple(function) for function in functions} == {("function", "versions", "secrets", "builds")}
    secrets = [secret for function in functions for secret in function["secrets"]]
    assert [_opened(cipher, secret) for secret in secrets] == [SECRET] * 2
    assert all(f"objects/{version['bundlePath']}" in members for f in functions for version in f["versions"])
    history = [json.loads(line) for line in gzip.decompress(content["history.jsonl.gz"]).splitlines()]
    assert {tuple(record) for record in history} == {("usage",), ("log",)}


def _key(salt: str) -> bytes:
    words = re.search(r"version 0x(\d+), (\d+) passes, ([\d,]+) KiB, (\d+) lanes, (\d+) bytes out", PAGE)
    assert words is not None
    version, passes, memory, lanes, size = words.groups()
    numbers = (int(passes), int(memory.replace(",", "")), int(lanes), int(size))
    return hash_secret_raw(PASSPHRASE.encode(), bytes.fromhex(salt), *numbers, Type.ID, int(version, 16))


def _opened(cipher: AESGCM, secret: dict[str, Any]) -> str:
    sealed = base64.urlsafe_b64decode(secret["ciphertext"])
    return cipher.decrypt(sealed[:12], sealed[12:], f"{secret['functionId']}/{secret['name']}".encode()).decode()
