"""Signing up and in leaves a key of one's own on this machine; keys are made, shown once, and taken away."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudserve.cli import profile
from tests.unit.api.support import PASSWORD
from tests.unit.cli.commands.conftest import Run
from tests.unit.cli.control_plane import ControlPlane, control_plane

ANN = ("--email", "ann@example.com", "--user-name", "ann", "--full-name", "Ann Lee")


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane without mail."""
    with control_plane(tmp_path / "data") as made:
        yield made


@pytest.fixture
def ann(plane: ControlPlane, run: Run) -> ControlPlane:
    """The same, with Ann signed up on this machine."""
    run("signup", *ANN, "--url", plane.url, stdin=PASSWORD)
    return plane


def _keys(run: Run) -> list[tuple[str, str]]:
    return [(key["name"], key["_id"]) for key in json.loads(run("key", "list", "--json").stdout)["keys"]]


def test_a_sign_up_leaves_a_key_on_this_machine(plane: ControlPlane, run: Run) -> None:
    """It opens the account at once; the password is in no argument and no output."""
    result = run("signup", *ANN, "--url", plane.url, stdin=PASSWORD + "\n")
    assert f"Signed up at {plane.url} as ann." in result.stdout
    assert PASSWORD not in result.output
    kept = profile.load()
    assert kept is not None
    assert (kept.url, kept.run_url, kept.name) == (plane.url, "http://127.0.0.1:7701", "ann")
    assert json.loads(run("functions", "--json").stdout) == {"functions": []}


def test_a_sign_up_with_mail_is_finished_with_the_code(tmp_path: Path, run: Run) -> None:
    """Until then, this machine is not signed in."""
    with control_plane(tmp_path / "data", mail=True) as plane:
        first = run("signup", *ANN, "--url", plane.url, stdin=PASSWORD)
        assert "--code CODE" in first.stdout
        assert profile.load() is None
        run("signup", "--email", "ann@example.com", "--code", plane.mailed_code(), "--url", plane.url)
        assert run("key", "show").stdout.startswith("csk_")


def test_a_login_makes_another_key_and_leaves_no_session(ann: ControlPlane, run: Run) -> None:
    """A key can be taken away from one machine alone."""
    before = run("key", "show").stdout
    result = run("login", "--email", "ann@example.com", stdin=PASSWORD)
    assert f"Signed in to {ann.url} as ann." in result.stdout
    assert run("key", "show").stdout != before
    names = [name for name, _ in _keys(run)]
    assert len([name for name in names if name.startswith("cli on ")]) == 2


def test_a_wrong_password_signs_nobody_in(ann: ControlPlane, run: Run) -> None:
    """And says so in a sentence, without advice to do what was just done."""
    result = run("login", "--email", "ann@example.com", stdin="not my password", code=1)
    assert "password is wrong" in result.stderr
    assert "cloudserve login" not in result.stderr


def test_what_is_missing_is_named_when_nobody_can_be_asked(plane: ControlPlane, run: Run) -> None:
    """A script must not hang at a prompt."""
    assert "--email" in run("login", "--url", plane.url, code=2).stderr
    assert "password" in run("login", "--url", plane.url, "--email", "ann@example.com", code=2).stderr


def test_a_new_key_is_all_there_is_on_standard_output(ann: ControlPlane, run: Run) -> None:
    """So that a script can take it; it does what its scopes say and no more."""
    result = run("key", "create", "ci", "--scope", "read")
    assert result.stdout.startswith("csk_")
    assert result.stdout.count("\n") == 1
    assert "ci" in [name for name, _ in _keys(run)]


def test_a_deleted_key_opens_nothing(ann: ControlPlane, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that asked goes on."""
    key = run("key", "create", "ci", "--scope", "read").stdout.strip()
    run("key", "delete", dict(_keys(run))["ci"], "--yes")
    assert "ci" not in [name for name, _ in _keys(run)]
    monkeypatch.setenv("CLOUDSERVE_API_KEY", key)
    assert "login" in run("functions", code=1).stderr


def test_nothing_is_deleted_without_a_yes(ann: ControlPlane, run: Run) -> None:
    """Where nobody can be asked, that is an error."""
    [(_, key_id)] = [key for key in _keys(run) if key[0].startswith("cli on")]
    assert "--yes" in run("key", "delete", key_id, code=2).stderr
    run("functions")


def test_a_regenerated_key_takes_the_place_of_the_kept_one(ann: ControlPlane, run: Run) -> None:
    """When that was the default key; a key of this machine's own stays."""
    own = run("key", "show").stdout
    first = run("key", "regenerate", "--yes").stdout.strip()
    assert run("key", "show").stdout == own
    profile.remember(ann.url, "http://127.0.0.1:7701", first, "ann")
    second = run("key", "regenerate", "--yes").stdout
    assert second.strip() != first
    assert run("key", "show").stdout == second


def test_secrets_go_in_and_only_their_names_come_out(ann: ControlPlane, run: Run, tmp_path: Path) -> None:
    """The value comes on standard input."""
    (tmp_path / "hello.js").write_text("module.exports = 1;\n")
    _deploy_without_a_build(run, tmp_path / "hello.js")
    result = run("secrets", "set", "hello", "API_TOKEN", stdin="s3cr3t-value\n")
    shown = run("secrets", "list", "hello", "--json")
    assert [secret["name"] for secret in json.loads(shown.stdout)["secrets"]] == ["API_TOKEN"]
    assert "s3cr3t-value" not in result.output + shown.output
    run("secrets", "delete", "hello", "API_TOKEN", "--yes")
    assert "has no secrets" in run("secrets", "list", "hello").stdout


def test_a_function_is_listed_until_it_is_deleted(ann: ControlPlane, run: Run, tmp_path: Path) -> None:
    """By its own name, or with its owner's."""
    (tmp_path / "hello.js").write_text("module.exports = 1;\n")
    _deploy_without_a_build(run, tmp_path / "hello.js")
    assert "http://127.0.0.1:7701/run/ann/hello" in run("functions").stdout
    assert json.loads(run("versions", "hello", "--json").stdout) == {"versions": []}
    assert json.loads(run("logs", "ann/hello", "--json").stdout) == {"logs": []}
    assert "no function 'bob/hello'" in run("delete", "bob/hello", "--yes", code=1).stderr
    run("delete", "ann/hello", "--yes")
    assert "No functions yet" in run("functions").stdout


def test_a_rollback_to_what_there_is_not_is_refused(ann: ControlPlane, run: Run, tmp_path: Path) -> None:
    """With the platform's own words."""
    (tmp_path / "hello.js").write_text("module.exports = 1;\n")
    _deploy_without_a_build(run, tmp_path / "hello.js")
    assert "error:" in run("rollback", "hello", "7", code=1).stderr


def _deploy_without_a_build(run: Run, file: Path) -> None:
    """Makes a function; the control plane of these tests builds nothing, so its build is not waited for."""
    from cloudserve.cli.client import connect
    from cloudserve.cli.packing import pack

    with connect(None) as client:
        client.post("/api/functions/deploy", **pack(file).request({"name": "hello"}))
