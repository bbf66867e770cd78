"""`export` and `import`: from one data folder into another, with words for a person and JSON for a program."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from cloudserve.cli import folders
from cloudserve.cli.homes import MARK, Place
from cloudserve.core.config import DataFolder
from cloudserve.core.transfer.home import Home
from pulumi_cloudserve.provider import data_folder as provider
from tests.contract.records import an_owner
from tests.homes import PASSPHRASE, content, fill
from tests.unit.cli.commands.conftest import Run


def _opened(folder: Path) -> AbstractAsyncContextManager[Home]:
    return Place.find(folder, "local").opened()


@pytest.fixture
async def origin(tmp_path: Path) -> Path:
    """The data folder of a platform with some of everything in it."""
    folder = DataFolder(tmp_path / "origin")
    async with _opened(folder.root) as home:
        await fill(home)
    folder.run.mkdir()
    (folder.run / "settings.json").write_text(json.dumps({"max_body_mb": 64, "port": 1}))
    return folder.root


@pytest.fixture
def file(origin: Path, tmp_path: Path, run: Run) -> Path:
    """Its export."""
    file = tmp_path / "file.tar"
    run("export", str(file), "--data-dir", str(origin), "--with-history", stdin=PASSPHRASE)
    return file


def test_a_platform_moves(origin: Path, file: Path, tmp_path: Path, run: Run) -> None:
    """Into a folder that was not there, in which `up` then finds what it takes for its own."""
    target = tmp_path / "elsewhere" / "target"
    (tmp_path / "passphrase").write_text(f"{PASSPHRASE}\n")
    options = ("--data-dir", str(target), "--passphrase-file", str(tmp_path / "passphrase"))
    told = run("import", str(file), *options, "--dry-run")
    assert "WOULD ADD" in told.stdout
    assert not target.exists()
    told = run("import", str(file), *options)
    assert "ADDED" in told.stdout
    assert "functions" in told.stdout
    assert "The setting maxBodyMb was 64 there and is 10 here" in told.stderr
    assert (target / MARK).exists()
    assert target.stat().st_mode & 0o777 == 0o700

    async def both() -> list[object]:
        async with _opened(origin) as one, _opened(target) as other:
            return [await content(one), await content(other)]

    there, here = asyncio.run(both())
    assert there == here
    document = json.loads(run("import", str(file), *options, "--json").stdout)
    assert document["added"]["functions"] == 0
    assert document["there"]["functions"] == 3
    assert document["settings"] == {"max_body_mb": {"export": 64, "here": 10}}


def test_the_mark_is_the_one_that_the_program_looks_for() -> None:
    """Or `up` would refuse the folder."""
    assert provider.MARK == MARK


def test_an_export_tells_what_is_in_it(origin: Path, tmp_path: Path, run: Run) -> None:
    """In a line, and as JSON; progress is not among it."""
    options = ("--data-dir", str(origin))
    told = run("export", str(tmp_path / "a.tar"), *options, stdin=PASSPHRASE)
    assert told.stdout.startswith(f"{tmp_path}/a.tar: 2 users and teams, 4 keys, 3 functions, 3 versions, 2 secrets, ")
    assert "Exporting" in told.stderr
    document = json.loads(run("export", str(tmp_path / "b.tar"), *options, "--json", stdin=PASSPHRASE).stdout)
    assert document["size"] == (tmp_path / "b.tar").stat().st_size
    assert (document["functions"], document["calls"]) == (3, 0)


def test_a_wrong_passphrase_makes_nothing(file: Path, tmp_path: Path, run: Run) -> None:
    """Not even a folder."""
    options = ("--data-dir", str(tmp_path / "target"), "--json")
    told = run("import", str(file), *options, stdin="another passphrase", code=1)
    assert json.loads(told.stderr)["error"]["reason"] == "wrong-passphrase"
    assert not (tmp_path / "target").exists()


def test_a_damaged_file_makes_nothing(file: Path, tmp_path: Path, run: Run) -> None:
    """It is told so, with the remedy."""
    file.write_bytes(file.read_bytes()[:-20_000])
    told = run("import", str(file), "--data-dir", str(tmp_path / "target"), stdin=PASSPHRASE, code=1)
    assert "Nothing was imported: " in told.stderr
    assert "Remedy: copy it again" in told.stderr
    assert not (tmp_path / "target").exists()


async def test_conflicts_are_listed(file: Path, tmp_path: Path, run: Run) -> None:
    """Each with its row and its remedy, for a program too."""
    target = tmp_path / "target"
    async with _opened(target) as home:
        await home.store.owners.add(an_owner("ann"))
    words = ("import", str(file), "--data-dir", str(target))
    told = await asyncio.to_thread(run, *words, stdin=PASSPHRASE, code=1)
    assert "Nothing was imported: 1 row is in conflict" in told.stderr
    assert "the user ann: the name ann belongs to ann here" in told.stderr
    assert "--merge-owner ann" in told.stderr
    told = await asyncio.to_thread(run, *words, "--json", stdin=PASSPHRASE, code=1)
    (conflict,) = json.loads(told.stderr)["error"]["conflicts"]
    assert conflict.startswith("the user ann: ")
    told = await asyncio.to_thread(run, *words, "--merge-owner", "ann", stdin=PASSPHRASE)
    assert "ann here has the keys and functions of ann there" in told.stderr


@pytest.mark.parametrize(
    "case",
    [
        (("export", "{tmp}/new.tar", "--data-dir", "{tmp}/nowhere"), PASSPHRASE, 1, "There is no platform in"),
        (("export", "{tmp}/file.tar", "--data-dir", "{tmp}/origin"), PASSPHRASE, 1, "exists. Remedy"),
        (("export", "{tmp}/new.tar", "--data-dir", "{tmp}/origin"), "short", 1, "The passphrase has 5 characters"),
        (("export", "{tmp}/new.tar", "--data-dir", "{tmp}/origin"), "", 2, "No passphrase was given"),
        (("export", "{tmp}/no/new.tar", "--data-dir", "{tmp}/origin"), PASSPHRASE, 1, "No such file or directory"),
        (("import", "{tmp}/nothing.tar", "--data-dir", "{tmp}/target"), PASSPHRASE, 2, "There is no file"),
        (("import", "{tmp}/file.tar", "--data-dir", "{tmp}"), PASSPHRASE, 1, "is no data folder of CloudServe"),
        (
            ("import", "{tmp}/file.tar", "--data-dir", "{tmp}/target", "--passphrase-file", "{tmp}/nothing"),
            "",
            1,
            "The passphrase can't be read from",
        ),
    ],
)
def test_what_can_t_be_done_is_told(
    file: Path, tmp_path: Path, run: Run, case: tuple[tuple[str, ...], str, int, str]
) -> None:
    """Before anything is made."""
    words, stdin, code, told = case
    result = run(*(word.format(tmp=tmp_path) for word in words), stdin=stdin, code=code)
    assert told in " ".join(result.stderr.split())
    assert {path.name for path in tmp_path.iterdir()} <= {"origin", "file.tar", "config"}


def test_the_folder_is_the_stack_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is named: the one in its settings, or the one that stacks have by default."""
    monkeypatch.setattr(folders, "checkout", lambda: tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    file = tmp_path / "infra" / "stacks" / "Pulumi.payments.yaml"
    assert Place.find(None, "payments").folder.root == tmp_path / "data" / "cloudserve" / "payments"
    file.parent.mkdir(parents=True)
    file.write_text("config:\n  cloudserve:dataDir: /srv/payments\n")
    assert Place.find(None, "payments").folder.root == Path("/srv/payments")
    assert Place.find(tmp_path, "payments").folder.root == tmp_path


def test_a_platform_with_servers_needs_its_secrets_key(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in a folder of this machine opens nothing of it."""
    monkeypatch.setenv("CLOUDSERVE_STORE_URL", "mongodb://user:hidden@nowhere.test")
    told = run("export", str(tmp_path / "file.tar"), "--data-dir", str(tmp_path), stdin=PASSPHRASE, code=2)
    assert "CLOUDSERVE_SECRETS_KEY: is missing" in told.stderr
    assert "hidden" not in told.stderr


def test_settings_that_can_t_be_read_are_named(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without their values, which may be secrets."""
    monkeypatch.setenv("CLOUDSERVE_SECRETS_KEY", "too-short-and-secret")
    told = run("export", str(tmp_path / "file.tar"), "--data-dir", str(tmp_path), stdin=PASSPHRASE, code=2)
    assert "CLOUDSERVE_SECRETS_KEY: " in told.stderr
    assert "Remedy" in told.stderr
    assert "too-short-and-secret" not in told.stderr
