"""The provider's handlers, called as Pulumi's protocol would, against real folders and processes."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pulumi.provider.experimental import provider as protocol

from cloudserve.core.auth.credentials import Credentials
from pulumi_cloudserve.provider import launch, ports
from pulumi_cloudserve.provider.credentials import CredentialsHandler
from pulumi_cloudserve.provider.data_folder import DataFolderHandler
from pulumi_cloudserve.provider.framework import Context, Handler, LocalProvider, ResourceError
from pulumi_cloudserve.provider.object_store import ObjectStoreHandler
from pulumi_cloudserve.provider.platform_process import PlatformProcessHandler
from pulumi_cloudserve.provider.plugin import HANDLERS
from pulumi_cloudserve.provider.running import Running
from pulumi_cloudserve.provider.store import StoreHandler
from pulumi_cloudserve.provider.values import UNKNOWN, plain, wrapped

ROOT = Path(__file__).parents[2]
STANDIN = ROOT / "tests" / "unit" / "cli" / "supervision" / "standin.py"
URN = "urn:pulumi:dev::cloudserve::cloudserve:components:LocalPlatform$cloudserve:local:Thing::thing"


@pytest.fixture
def context() -> Context:
    return Context(URN, say=lambda text: None)


class Thing(Handler):
    """A resource type of the tests."""

    type = "cloudserve:local:Thing"
    inputs = frozenset({"size", "place"})
    outputs = frozenset({"token", "well"})
    secret = frozenset({"token"})
    replace_on = frozenset({"place"})

    def check(self, inputs: Any) -> Iterator[tuple[str, str]]:
        if inputs.get("size", 0) > 9:
            yield "size", "is more than 9"

    def needs_repair(self, state: Any) -> list[str]:
        return [] if state["well"] else ["well"]

    def create(self, inputs: Any, context: Context) -> tuple[str, Any]:
        return "one", {"token": "hush", "well": True}

    def read(self, state: Any, context: Context) -> Any:
        return None if state["place"] == "gone" else {"token": "hush", "well": False}

    def update(self, state: Any, inputs: Any, context: Context) -> Any:
        raise ResourceError("It can't be changed today.")

    def delete(self, state: Any, context: Context) -> None:
        pass


@pytest.fixture
def provider() -> LocalProvider:
    return LocalProvider([Thing()], log=lambda urn, text: None)


STATE = {"size": 1, "place": "here", "token": "hush", "well": True}


async def test_refuses_inputs_that_are_unknown_missing_or_wrong(provider: LocalProvider) -> None:
    """Each failure names the input."""
    for given, names in [({"size": 1, "colour": "red"}, {"colour", "place"}), ({"size": 10, "place": "x"}, {"size"})]:
        answer = await provider.check(protocol.CheckRequest(URN, {}, wrapped(given), b""))
        assert {failure.property for failure in answer.failures or []} == names


async def test_leaves_what_a_preview_can_not_know_unchecked(provider: LocalProvider) -> None:
    """An unknown input is no wrong one."""
    answer = await provider.check(protocol.CheckRequest(URN, {}, wrapped({"size": UNKNOWN, "place": "x"}), b""))
    assert answer.failures == []


async def test_tells_a_change_in_place_from_a_replacement_and_a_repair(provider: LocalProvider) -> None:
    """What is not as it should be is a change too, though no input has changed."""

    async def diff(state: dict[str, Any], inputs: dict[str, Any]) -> protocol.DiffResponse:
        return await provider.diff(protocol.DiffRequest(URN, "one", wrapped(state), wrapped(inputs), []))

    same = {"size": 1, "place": "here"}
    assert (await diff(STATE, same)).changes is False
    assert (await diff(STATE, {**same, "size": 2})).replaces == []
    assert (await diff(STATE, {**same, "size": 2})).diffs == ["size"]
    assert (await diff(STATE, {**same, "place": "there"})).replaces == ["place"]
    assert (await diff({**STATE, "well": False}, same)).diffs == ["well"]


async def test_a_preview_makes_nothing_and_knows_no_outputs(provider: LocalProvider) -> None:
    """The outputs are unknown, and the secret one is secret already."""
    request = protocol.CreateRequest(URN, wrapped({"size": 1, "place": "here"}), 0, preview=True)
    made = (await provider.create(request)).properties
    assert plain(made) == {"size": 1, "place": "here", "token": UNKNOWN, "well": UNKNOWN}
    assert made["token"].is_secret


async def test_marks_secrets_wherever_they_come_from(provider: LocalProvider) -> None:
    """After `create` and after `read`; nothing else is marked."""
    made = await provider.create(protocol.CreateRequest(URN, wrapped({"size": 1, "place": "here"}), 0, preview=False))
    seen = await provider.read(protocol.ReadRequest(URN, "one", wrapped(STATE), {}))
    for properties in (made.properties, seen.properties):
        assert [name for name, value in properties.items() if value.is_secret] == ["token"]


async def test_a_thing_that_is_gone_has_no_id(provider: LocalProvider) -> None:
    """Pulumi then makes it again."""
    gone = await provider.read(protocol.ReadRequest(URN, "one", wrapped({**STATE, "place": "gone"}), {}))
    assert gone.resource_id is None


async def test_keeps_no_configuration(provider: LocalProvider) -> None:
    """The project's settings arrive as the provider's; what may be secret there does not reach the state."""
    request = protocol.CheckRequest(URN, {}, wrapped({"smtpPassword": "hush"}), b"")
    assert (await provider.check_config(request)).inputs == {}


async def test_an_unknown_type_is_said_to_be_one(provider: LocalProvider) -> None:
    """A program and a plugin of different versions meet like this."""
    request = protocol.CheckRequest(URN.replace("Thing::", "Other::"), {}, {}, b"")
    with pytest.raises(ResourceError, match="knows no cloudserve:local:Other"):
        await provider.check(request)


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.type.rpartition(":")[2])
def test_every_type_is_sound(handler: Handler) -> None:
    """Inputs and outputs do not overlap, secrets are outputs, and what forces a replacement is an input."""
    assert not handler.inputs & handler.outputs
    assert handler.secret <= handler.outputs
    assert handler.replace_on <= handler.inputs
    assert handler.__doc__


def test_a_data_folder_is_never_somebody_elses(tmp_path: Path, context: Context) -> None:
    """A folder with other things in it is neither taken nor removed."""
    (tmp_path / "thesis.odt").touch()
    with pytest.raises(ResourceError, match="cloudserve:dataDir"):
        DataFolderHandler().create({"path": str(tmp_path), "keepData": False}, context)
    DataFolderHandler().delete({"path": str(tmp_path), "keepData": False}, context)
    assert (tmp_path / "thesis.odt").exists()


@pytest.mark.parametrize("keep", [True, False])
def test_a_data_folder_is_kept_or_leaves_nothing(tmp_path: Path, context: Context, keep: bool) -> None:
    """As `keepData` says; kept, it is taken up again."""
    path = tmp_path / "data"
    state = {"path": str(path), "keepData": keep}
    DataFolderHandler().create(state, context)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (path / "objects").mkdir()
    DataFolderHandler().delete(state, context)
    assert path.exists() is keep
    DataFolderHandler().create(state, context)
    assert (path / "objects").exists() is keep


def test_credentials_are_those_the_platform_reads(tmp_path: Path, context: Context) -> None:
    """Made once, in the form of `core.auth.credentials`, and taken up as they are."""
    inputs = {"folder": str(tmp_path / "credentials"), "database": str(tmp_path / "cloudserve.db")}
    _, outputs = CredentialsHandler().create(inputs, context)
    first = Credentials.load_or_create(tmp_path / "credentials")
    assert len(first.secrets_key) == 32
    assert first.machine_key.startswith("csk_")
    assert CredentialsHandler().create(inputs, context)[1] == outputs
    assert Credentials.load_or_create(tmp_path / "credentials") == first
    assert first.machine_key not in json.dumps(dict(outputs))
    for file in (tmp_path / "credentials").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_lost_secrets_key_is_not_replaced_behind_a_database(tmp_path: Path, context: Context) -> None:
    """A fresh one would open nothing; the message says what to do."""
    inputs = {"folder": str(tmp_path / "credentials"), "database": str(tmp_path / "cloudserve.db")}
    CredentialsHandler().create(inputs, context)
    (tmp_path / "cloudserve.db").write_bytes(b"SQLite format 3\x00")
    (tmp_path / "credentials" / "secrets.key").unlink()
    assert CredentialsHandler().read({**inputs, "fingerprint": ""}, context) is None
    with pytest.raises(ResourceError, match="backup"):
        CredentialsHandler().create(inputs, context)


def test_a_store_is_no_other_file(tmp_path: Path, context: Context) -> None:
    """An empty file or a database is taken up; anything else is left alone."""
    inputs = {"path": str(tmp_path / "cloudserve.db")}
    assert StoreHandler().read(inputs, context) is None
    for _ in range(2):
        StoreHandler().create(inputs, context)
    assert StoreHandler().read(inputs, context) == {}
    Path(inputs["path"]).write_text("notes")
    with pytest.raises(ResourceError, match="no SQLite database"):
        StoreHandler().create(inputs, context)


def test_an_object_store_is_seen_when_it_is_gone(tmp_path: Path, context: Context) -> None:
    """`up` then makes it again."""
    inputs = {"path": str(tmp_path / "objects")}
    ObjectStoreHandler().create(inputs, context)
    assert ObjectStoreHandler().read(inputs, context) == {}
    (tmp_path / "objects").rmdir()
    assert ObjectStoreHandler().read(inputs, context) is None


class Process:
    """A platform process resource whose platform is the supervisor's stand-in."""

    def __init__(self, data: Path, context: Context) -> None:
        self.data = data
        self.context = context
        self.handler = PlatformProcessHandler()
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            port, run_port = one.getsockname()[1], two.getsockname()[1]
        self.inputs: dict[str, Any] = {
            "dataDir": str(data),
            "command": [sys.executable, str(data / "supervisor.py")],
            "settings": {"host": "127.0.0.1", "port": port, "run_port": run_port},
            "code": "1",
        }
        # The stand-in takes the settings' file as its only argument when it supervises.
        (data / "supervisor.py").write_text(
            "import runpy, sys\n"
            f"sys.path.insert(0, {str(ROOT / '.src')!r})\n"
            f"sys.argv = [{str(STANDIN)!r}, sys.argv[-1]]\n"
            f"runpy.run_path({str(STANDIN)!r}, run_name='__main__')\n"
        )
        self.state: dict[str, Any] = {}

    def create(self) -> None:
        self.state = {**self.inputs, **self.handler.create(self.inputs, self.context)[1]}

    def update(self, **changes: Any) -> None:
        self.inputs = {**self.inputs, **changes}
        self.state = {**self.inputs, **self.handler.update(self.state, self.inputs, self.context)}

    def read(self) -> Any:
        return self.handler.read(self.state, self.context)

    def supervisor(self) -> psutil.Process:
        found = Running(self.data).supervisor()
        assert found is not None
        return found

    def end(self) -> None:
        self.handler.delete(self.inputs, self.context)


@pytest.fixture
def process(tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(launch, "has_systemd", lambda: False)
    monkeypatch.setattr(launch, "KEPT", (*launch.KEPT, "PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / ".src"))
    data = tmp_path / "data"
    data.mkdir()
    made = Process(data, context)
    yield made
    made.end()


def test_a_platform_is_running_when_it_answers_with_its_token(process: Process) -> None:
    """Created, it is; killed, it is found not to be, and started again in place."""
    process.create()
    assert process.read() == {"instance": process.state["instance"], "running": True}
    process.supervisor().kill()
    Running(process.data).wait_until_gone(30)
    process.state.update(process.read())
    assert process.state["running"] is False
    assert list(process.handler.needs_repair(process.state)) == ["running"]
    process.update()
    assert process.read()["running"] is True


def test_a_second_create_adopts_the_platform(process: Process) -> None:
    """What an interrupted `create` left is taken over, not started twice."""
    process.create()
    first, instance = process.supervisor().pid, process.state["instance"]
    process.create()
    assert (process.supervisor().pid, process.state["instance"]) == (first, instance)


@pytest.mark.parametrize("change", [{"code": "2"}, {"settings": None}], ids=["code", "settings"])
def test_a_change_is_handed_over_by_the_same_supervisor(process: Process, change: dict[str, Any]) -> None:
    """New code or new settings get a new token; the sockets stay where they are."""
    process.create()
    first, instance = process.supervisor().pid, process.state["instance"]
    if "settings" in change:
        change = {"settings": {**process.inputs["settings"], "log_level": "debug"}}
    process.update(**change)
    assert process.supervisor().pid == first
    assert process.state["instance"] != instance
    assert process.read()["running"] is True


def test_a_taken_port_names_holder_and_setting(process: Process) -> None:
    """Both when a platform starts and when it moves; the running one goes on."""
    taken = process.inputs["settings"]["port"]
    with socket.create_server(("127.0.0.1", taken)), pytest.raises(ResourceError) as caught:
        process.create()
    assert f"process {os.getpid()}" in str(caught.value)
    assert "cloudserve:port in infra/stacks/Pulumi.dev.yaml" in str(caught.value)
    process.create()
    before = process.inputs
    with socket.create_server(("127.0.0.1", 0)) as holder, pytest.raises(ResourceError, match="cloudserve:runPort"):
        process.update(settings={**before["settings"], "run_port": holder.getsockname()[1]})
    process.inputs = before
    assert process.read()["running"] is True


def test_delete_ends_every_process(process: Process) -> None:
    """And is content when there is none."""
    process.create()
    supervisor = process.supervisor()
    children = supervisor.children()
    for _ in range(2):
        process.end()
    assert not [child for child in children if child.is_running()]


def test_a_pid_that_went_to_another_process_is_not_the_supervisor(tmp_path: Path) -> None:
    """The start time tells; signalling a stranger would be worse than anything else."""
    (tmp_path / "run").mkdir()
    record = {"pid": os.getpid(), "started": psutil.Process().create_time() - 3600}
    (tmp_path / "run" / "supervisor.json").write_text(json.dumps(record))
    assert Running(tmp_path).supervisor() is None
    assert Running(tmp_path).signal(signal.SIGTERM) is False
    assert Running(tmp_path).is_alive() is False


def test_a_platform_inherits_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cloud keys and Pulumi's passphrase stay behind; what builds need to reach registries goes along."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "hush")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    inherited = launch.environment()
    assert "hush" not in inherited.values()
    assert inherited["HTTPS_PROXY"] == "http://proxy.example"
    assert inherited["PATH"] == os.environ["PATH"]


def test_a_platform_is_a_unit_where_there_is_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written, enabled and restarted; retired, it is disabled and its file is gone."""
    calls = tmp_path / "calls"
    tool = tmp_path / "bin" / "systemctl"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(launch, "_linger", lambda: None)
    data = tmp_path / "da ta"
    assert launch.has_systemd()
    launch.launch(["/usr/bin/python3", "-m", "supervisor", "100%"], data)
    unit = tmp_path / "config" / "systemd" / "user" / launch.unit(data)
    text = unit.read_text()
    assert 'ExecStart="/usr/bin/python3" "-m" "supervisor" "100%%"' in text
    assert f"WorkingDirectory={str(data)!r}".replace("'", '"') in text
    assert "Restart=on-failure" in text
    launch.retire(data)
    assert not unit.exists()
    done = [line.removeprefix("--user ") for line in calls.read_text().splitlines()]
    for step in (f"enable {unit.name}", f"restart {unit.name}", f"disable --now {unit.name}"):
        assert step in done


def test_a_port_is_free_until_somebody_listens() -> None:
    """And then its holder can be told."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert not ports.is_free("127.0.0.1", port)
        assert ports.holder(port).startswith(f"process {os.getpid()} (")
    assert ports.is_free("127.0.0.1", port)


def test_the_plugin_ends_with_its_parent() -> None:
    """Pulumi, killed, can't end its plugins."""
    plugin = Path(sys.executable).with_name("pulumi-resource-cloudserve")
    if not plugin.exists():
        pytest.skip("the plugin is not installed in this environment")
    script = (
        "import subprocess, sys; p = subprocess.Popen([sys.argv[1], '127.0.0.1:1']); print(p.pid, flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, plugin], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert parent.stdout.readline().strip().isdigit()  # the port it serves on
    parent.kill()
    parent.wait()
    child.wait(30)
    parent.stdin.close()
    parent.stdout.close()


def test_what_goes_wrong_reaches_the_user_as_one_sentence(provider: LocalProvider) -> None:
    """Over the wire: the message, and no traceback."""
    import grpc
    import grpc.aio
    from pulumi.provider.experimental.server import ProviderServicer
    from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

    from pulumi_cloudserve.provider.plugin import PlainErrors

    async def call() -> str:
        server = grpc.aio.server(interceptors=[PlainErrors()])
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(ProviderServicer([], "1", provider, ""), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Update(provider_pb2.UpdateRequest(urn=URN, id="one"))
        await server.stop(None)
        return str(caught.value.details())

    assert asyncio.run(call()) == "It can't be changed today."
