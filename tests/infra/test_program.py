"""The Pulumi program, run against Pulumi's mocks: what it declares, without an engine."""

import asyncio
import gc
import runpy
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from settings import KEYS, SECRET_KEYS, SettingError, Settings, refuse_plain_secrets

from cloudserve.core.config import Settings as PlatformSettings
from components.base import Component
from stacks.local import platform_settings

ROOT = Path(__file__).parents[2]
PROJECT = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
DECLARED = {key.partition(":")[2]: value for key, value in PROJECT["config"].items()}


class Recorder(pulumi.runtime.Mocks):
    """Remembers what is declared, and gives every resource the outputs that the provider would."""

    def __init__(self) -> None:
        self.declared: dict[str, pulumi.runtime.MockResourceArgs] = {}
        self.order: list[str] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.declared[args.name] = args
        self.order.append(args.name)
        extra = {
            "password": "first-password",
            "apiKey": "csk_first",
            "address": args.inputs.get("email"),
            "passwordStale": False,
            "apiKeyStale": False,
        }
        return f"{args.name}-id", {**args.inputs, **(extra if args.typ.endswith("Administrator") else {})}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {}


@pytest.fixture
def mocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Recorder]:
    """A fresh engine stand-in with an empty configuration, in a home folder of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "infra"))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # Pulumi's mocks run on the thread's own loop
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="cloudserve", stack="dev")
    configure()
    yield recorder
    configure()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pulumi never awaits what a refused child has begun
        gc.collect()


def configure(*, secret: tuple[str, ...] = (), **settings: object) -> None:
    """Sets the stack's settings."""
    texts = {
        f"cloudserve:{name}": str(value).lower() if value in (True, False) else str(value)
        for name, value in settings.items()
    }
    pulumi.runtime.set_all_config(texts, [f"cloudserve:{name}" for name in secret])


@pulumi.runtime.test
def declare() -> None:
    """Runs the program as the language host does, until all that it declares is registered."""
    runpy.run_path(str(ROOT / "infra" / "__main__.py"))


def test_declares_the_platform_in_the_order_of_its_parts(mocks: Recorder) -> None:
    """Folder, secrets, database, objects, process and administrator, each named under the component."""
    declare()
    types = {
        name: args.typ.rpartition(":")[2] for name, args in mocks.declared.items() if args.typ.startswith("cloudserve:")
    }
    assert types == {
        "platform": "LocalPlatform",
        "platform-data": "DataFolder",
        "platform-secrets": "Credentials",
        "platform-store": "Store",
        "platform-objects": "ObjectStore",
        "platform-process": "PlatformProcess",
        "platform-administrator": "Administrator",
    }
    position = mocks.order.index
    assert position("platform-data") < position("platform-secrets") < position("platform-store")
    assert position("platform-store") < position("platform-process") < position("platform-administrator")


def test_keeps_the_data_of_a_stack_in_a_folder_of_its_name(mocks: Recorder, tmp_path: Path) -> None:
    """Two stacks on one machine have nothing in common unless told so."""
    declare()
    assert mocks.declared["platform-data"].inputs == {"path": str(tmp_path / "cloudserve" / "dev"), "keepData": True}


def test_hands_no_secret_to_the_process(mocks: Recorder) -> None:
    """Keys are files in the data folder; neither the command line nor the settings carry one."""
    declare()
    process = mocks.declared["platform-process"].inputs
    assert process["command"] == [sys.executable, "-m", "cloudserve.cli.supervisor"]
    assert not [name for name in process["settings"] if "key" in name or "secret" in name or "password" in name]


def test_names_the_settings_as_the_platform_does(mocks: Recorder, tmp_path: Path) -> None:
    """What the program writes is what the platform reads; it refuses every other name."""
    PlatformSettings(data_dir=tmp_path, **platform_settings(Settings.of_stack()))


def test_every_setting_is_declared_with_type_and_description() -> None:
    """Pulumi.yaml and the program know the same settings."""
    assert set(DECLARED) == KEYS
    for setting in DECLARED.values():
        assert setting["type"] in ("string", "integer", "boolean")
        assert setting["description"].endswith(".")


def test_the_defaults_of_project_and_program_agree(mocks: Recorder) -> None:
    """A default that Pulumi fills in changes nothing."""
    bare = Settings.of_stack()
    configure(**{name: setting["default"] for name, setting in DECLARED.items()})
    assert Settings.of_stack() == bare


def test_refuses_an_unknown_setting_by_name(mocks: Recorder) -> None:
    """A mistyped setting must not pass silently; the message has the likely one."""
    configure(prot=7800)
    with pytest.raises(SettingError, match=r"no setting cloudserve:prot \(did you mean cloudserve:port\?\)"):
        Settings.of_stack()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("port", "65536", "1 to 65535"),
        ("port", "http", "whole number"),
        ("port", "7701", "must differ"),
        ("keepData", "maybe", "one of true, false"),
        ("signup", "anyone", "one of open, invite, closed"),
        ("host", "localhost", "IP address"),
        ("url", "faas.example.com", "http://"),
        ("dataDir", "data", "absolute path"),
        ("target", "moon", "one of local"),
        ("minimumTier", "D", "one of A, B, C"),
        ("egressAllow", "10.0.0.0/8, db.example", "such as 10.0.0.5:5432 or 10.1.0.0/16"),
        ("egressAllow", "10.0.0.5:99999", "'10.0.0.5:99999'"),
        ("unsafeWithoutWalls", "perhaps", "one of true, false"),
    ],
)
def test_refuses_a_bad_value_with_its_bounds(mocks: Recorder, setting: str, value: str, message: str) -> None:
    """The message names the setting and what it may be."""
    configure(**{setting: value})
    with pytest.raises(SettingError, match=f"cloudserve:{setting}.*{message}"):
        Settings.of_stack()


def test_sign_up_is_open_on_loopback_only(mocks: Recorder) -> None:
    """Who opens the port to the network says so twice."""
    assert Settings.of_stack().signup == "open"
    configure(host="0.0.0.0")
    assert Settings.of_stack().signup == "closed"


def test_refuses_a_secret_in_plain_text(mocks: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that holds a secret must be stored encrypted."""
    monkeypatch.setattr("settings.SECRET_KEYS", frozenset({"smtpPassword"}))
    with pytest.raises(SettingError, match="cloudserve:smtpPassword is stored in plain text"):
        refuse_plain_secrets({"cloudserve:smtpPassword": "x"})
    configure(secret=("smtpPassword",), smtpPassword="x")
    refuse_plain_secrets({"cloudserve:smtpPassword": "x"})
    assert SECRET_KEYS <= KEYS


def test_a_component_refuses_a_child_that_is_not_named_after_it(mocks: Recorder) -> None:
    """Two components of one type would collide otherwise."""

    @pulumi.runtime.test
    def declare_store() -> None:
        pulumi.ComponentResource("test:index:Thing", "store", {}, Component("team").under())

    with pytest.raises(ValueError, match="name it team-store"):
        declare_store()
