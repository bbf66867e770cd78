"""Services as real processes: from a deploy to a call across them, signals, crashes and bad settings."""

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.tokens import new_api_key
from cloudserve.core.config import DataFolder
from cloudserve.sandbox.remote.tls import GATEWAY, SANDBOX
from tests.servers.minio import MinioServer
from tests.servers.mongo import MongoServer
from tests.unit.cli.services.running import PATIENCE_SECONDS, Running, eventually
from tests.unit.sandbox.remote.certificates import Authority

HELLO = "exports.handler = async ({ headers }) => headers['traceparent'] ?? 'hello'"
SLOW = "exports.handler = async () => { await new Promise((done) => setTimeout(done, 1500)); return 'done' }"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

pytestmark = pytest.mark.full


def administrator(service: Running, opened_by: Path | str) -> str:
    """Makes the administrator `ada` with the machine key, which may be in a data folder, and returns the account's."""
    machine_key = opened_by
    if isinstance(opened_by, Path):
        machine_key = Credentials.load_or_create(DataFolder(opened_by).credentials).machine_key
    answer = httpx2.post(
        service.url("platform") + "/api/admin/administrator",
        headers={"api-key": str(machine_key)},
        json={"email": "ada@example.com", "userName": "ada", "fullName": "Ada", "password": "correct horse 9 battery"},
        trust_env=False,
        timeout=PATIENCE_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    key: str = answer.json()["apiKey"]
    return key


def deploy(service: Running, key: str, code: str, name: str = "hello") -> None:
    """Deploys a function of one file, and returns when it is live."""
    with httpx2.Client(base_url=service.url("platform"), headers={"api-key": key}, trust_env=False) as http:
        answer = http.post("/api/functions/deploy", json={"name": name, "code": code, "filename": "index.js"})
        assert answer.status_code == 202, answer.text
        path = f"/api/functions/{answer.json()['function']['_id']}"
        eventually(lambda: http.get(path).json()["function"]["status"] == "active")


def samples(service: Running) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Returns the service's metrics."""
    text = service.get("internal", "/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(service: Running, name: str) -> float:
    """Returns the sum of a metric over all of its labels."""
    return sum(value for (sample, _), value in samples(service).items() if sample == name)


def test_an_api_and_a_gateway_serve_together(tmp_path: Path) -> None:
    """What one deploys the other serves; each tells what it is, and leaves when it is told to."""
    data = tmp_path / "data"
    with (
        Running("api", data, tmp_path / "api.log") as api,
        Running("gateway", data, tmp_path / "gateway.log") as gateway,
    ):
        api.ready()
        gateway.ready()
        key = administrator(api, data)
        deploy(api, key, HELLO)
        call = gateway.get("run", "/run/ada/hello", headers={"api-key": key, "traceparent": TRACEPARENT})
        assert (call.status_code, call.text) == (200, TRACEPARENT)
        assert gateway.get("run", "/readyz").json()["checks"] == {"store": "ok", "sandbox": "ok", "spool": "ok"}
        assert api.get("platform", "/readyz").json() == {"status": "ready", "checks": {"store": "ok", "objects": "ok"}}
        assert (
            samples(gateway)["cloudserve_function_calls_total", frozenset({("owner", "ada"), ("function", "hello")})]
            == 1
        )
        assert total(api, "cloudserve_api_requests_total") > 2
        assert api.get("platform", "/run/ada/hello").status_code == 404
        assert api.get("platform", "/metrics").status_code == 404
        assert gateway.get("run", "/metrics").status_code == 404
        traced = api.get("platform", "/api/functions", headers={"api-key": key, "traceparent": TRACEPARENT})
        assert traced.status_code == 200
        assert api.told("request")[-1]["traceId"] == TRACEPARENT.split("-")[1]
        assert (gateway.end(), api.end(signal.SIGINT)) == (0, 0)
    with Running("api", data, tmp_path / "again.log") as api:
        api.ready()
        usages = api.get("platform", "/api/usages", headers={"api-key": key}).json()["usages"]
        assert [usage["functionId"]["name"] for usage in usages] == ["hello"]


def certificates(authority: Authority, name: str) -> Path:
    """Returns a folder with a certificate for that name, as services are given one."""
    folder = authority.folder / f"{name}.tls"
    folder.mkdir()
    authority.issue(name)
    shutil.copy(authority.ca, folder / "ca.crt")
    shutil.copy(authority.folder / f"{name}.crt", folder / "tls.crt")
    shutil.copy(authority.folder / f"{name}.key", folder / "tls.key")
    return folder


def test_gateways_call_sandboxes_on_hosts_of_their_own(tmp_path: Path) -> None:
    """Which hold nothing of the platform; one that is killed is done without, and one that leaves finishes."""
    data, authority = tmp_path / "data", Authority(tmp_path / "authority")
    own, theirs = certificates(authority, GATEWAY), certificates(authority, SANDBOX)
    with contextlib.ExitStack() as running:

        def start(role: str, name: str, folder: Path, **settings: object) -> Running:
            return running.enter_context(Running(role, folder, tmp_path / f"{name}.log", **settings))

        sandboxes = [
            start("sandbox", f"sandbox{number}", tmp_path / f"sandbox{number}", tls_dir=theirs, sandbox_port=0)
            for number in range(2)
        ]
        members = ",".join(one.url("sandbox").removeprefix("http://") for one in sandboxes)
        api = start("api", "api", data)
        gateways = [start("gateway", f"gateway{number}", data, tls_dir=own, sandboxes=members) for number in range(2)]
        for service in (*sandboxes, api, *gateways):
            service.ready()
        key = administrator(api, data)
        deploy(api, key, HELLO)
        for gateway in gateways:
            assert gateway.get("run", "/run/ada/hello", headers={"api-key": key}).text == "hello"
            assert total(gateway, "cloudserve_gateway_reachable_sandboxes") == 2
        workers = [total(one, "cloudserve_sandbox_workers") for one in sandboxes]
        assert sorted(workers) == [0, 1]
        assert not any((tmp_path / f"sandbox{number}" / "credentials").exists() for number in range(2))
        home = sandboxes[workers.index(1)]
        other = sandboxes[workers.index(0)]
        home.process.kill()
        eventually(lambda: total(gateways[0], "cloudserve_gateway_reachable_sandboxes") == 1)
        assert gateways[0].get("run", "/run/ada/hello", headers={"api-key": key}).text == "hello"
        assert other.end() == 0
        eventually(lambda: gateways[0].get("run", "/readyz").status_code == 503)
        unready = gateways[0].get("internal", "/readyz").json()
        assert unready["checks"]["sandbox"] == "none of 2 sandbox hosts can be reached"
        assert gateways[0].get("run", "/run/ada/hello", headers={"api-key": key}).status_code == 503


def test_services_on_hosts_of_their_own_share_servers(tmp_path: Path) -> None:
    """An api, two gateways and two sandboxes over MongoDB's protocol and MinIO, none of which shares a folder."""
    authority = Authority(tmp_path / "authority")
    own, theirs = certificates(authority, GATEWAY), certificates(authority, SANDBOX)
    (tmp_path / "mongo").mkdir()
    (tmp_path / "minio").mkdir()
    with contextlib.ExitStack() as running:
        mongo, minio = MongoServer(tmp_path / "mongo").start(), MinioServer.in_folder(tmp_path / "minio").start()
        running.callback(mongo.kill)
        running.callback(minio.kill)
        machine_key = new_api_key()
        stores = {
            "store_url": mongo.url,
            "s3_endpoint": f"http://127.0.0.1:{minio.port}",
            "s3_access_key": minio.access_key,
            "s3_secret_key": minio.secret_key,
            "secrets_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        }

        def start(role: str, name: str, **settings: object) -> Running:
            return running.enter_context(Running(role, tmp_path / name, tmp_path / f"{name}.log", **settings))

        sandboxes = [start("sandbox", f"sandbox{number}", tls_dir=theirs, sandbox_port=0) for number in range(2)]
        members = ",".join(one.url("sandbox").removeprefix("http://") for one in sandboxes)
        api = start("api", "api", machine_key=machine_key, **stores)
        gateways = [start("gateway", f"gateway{n}", tls_dir=own, sandboxes=members, **stores) for n in range(2)]
        for service in (*sandboxes, api, *gateways):
            service.ready()
        key = administrator(api, machine_key)
        deploy(api, key, "exports.handler = () => process.env.GREETING ?? 'nothing'")
        headers = {"api-key": key}
        for gateway in gateways:
            assert gateway.get("run", "/run/ada/hello", headers=headers).text == "nothing"
        with httpx2.Client(base_url=api.url("platform"), headers=headers, trust_env=False) as http:
            (function,) = http.get("/api/functions").json()["functions"]
            path = f"/api/functions/{function['_id']}"
            assert http.put(f"{path}/secrets/GREETING", json={"value": "hello"}).is_success
            for gateway in gateways:
                eventually(lambda of=gateway: of.get("run", "/run/ada/hello", headers=headers).text == "hello")
            assert http.put(path, json={"isActive": False}).status_code == 200
            for gateway in gateways:
                eventually(lambda of=gateway: of.get("run", "/run/ada/hello", headers=headers).status_code == 503)
            for service in gateways:
                assert service.end() == 0
            calls = http.get(f"/api/usages/{function['_id']}").json()["usages"]
        assert len(calls) >= 4
        assert api.end() == 0
        assert [one.end() for one in sandboxes] == [0, 0]


def test_all_services_in_one_process(tmp_path: Path) -> None:
    """As the embedded platform has them, with probes and metrics."""
    with Running("all", tmp_path / "data", tmp_path / "log") as service:
        service.ready()
        key = administrator(service, tmp_path / "data")
        deploy(service, key, HELLO)
        for origin in ("run", "platform"):
            assert service.get(origin, "/run/ada/hello", headers={"api-key": key}).text == "hello"
        assert total(service, "cloudserve_function_calls_total") == 2
        checks = service.get("internal", "/readyz").json()["checks"]
        assert checks == dict.fromkeys(
            ["api.store", "api.objects", "gateway.store", "gateway.sandbox", "gateway.spool"], "ok"
        )
        assert service.end() == 0
    assert not list((tmp_path / "data" / "spool").iterdir())
    assert not list((tmp_path / "data" / "work").iterdir())


def test_a_call_that_has_begun_is_finished(tmp_path: Path) -> None:
    """Within the grace: nothing new is taken meanwhile, and the probes say so."""
    with Running("all", tmp_path / "data", tmp_path / "log") as service:
        service.ready()
        key = administrator(service, tmp_path / "data")
        deploy(service, key, SLOW)
        address = service.url("run").removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1]))) as caller:
            caller.sendall(f"GET /run/ada/hello HTTP/1.1\r\nhost: x\r\napi-key: {key}\r\n\r\n".encode())
            eventually(lambda: total(service, "cloudserve_sandbox_busy_workers") == 1)
            service.process.send_signal(signal.SIGTERM)
            service.told("leaving: finishing what has begun")
            unready = service.get("internal", "/readyz")
            assert (unready.status_code, unready.json()["checks"]["gateway.process"]) == (503, "leaving")
            with pytest.raises(httpx2.ConnectError):
                service.get("run", "/healthz")
            caller.settimeout(PATIENCE_SECONDS)
            answer = b""
            while part := caller.recv(65536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert answer.endswith(b"done")
        assert service.process.wait(PATIENCE_SECONDS) == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Whatever is under way; no process of its is left."""
    slow = SLOW.replace("1500", "60000")
    with Running("all", tmp_path / "data", tmp_path / "log", grace_seconds=600) as service:
        service.ready()
        key = administrator(service, tmp_path / "data")
        deploy(service, key, slow)
        address = service.url("run").removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1]))) as caller:
            caller.sendall(f"GET /run/ada/hello HTTP/1.1\r\nhost: x\r\napi-key: {key}\r\n\r\n".encode())
            eventually(lambda: total(service, "cloudserve_sandbox_busy_workers") == 1)
            children = psutil.Process(service.process.pid).children(recursive=True)
            service.process.send_signal(signal.SIGTERM)
            service.told("leaving: finishing what has begun")
            assert service.end() == 128 + signal.SIGTERM
        assert children
        psutil.wait_procs(children, timeout=PATIENCE_SECONDS)
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_several_processes_share_the_ports_and_replace_who_falls(tmp_path: Path) -> None:
    """A crash is logged, the others go on, and the internal port speaks for all of them."""
    with Running("all", tmp_path / "data", tmp_path / "log", processes=2) as service:
        eventually(lambda: len(service.lines("serving")) == 2)
        key = administrator(service, tmp_path / "data")
        deploy(service, key, HELLO)
        for _ in range(20):
            assert service.get("run", "/run/ada/hello", headers={"api-key": key}).text == "hello"
        assert total(service, "cloudserve_function_calls_total") == 20
        assert {labels["process"] for labels in (dict(key[1]) for key in samples(service))} == {"1", "2"}
        first = service.told("started a process", 2)[0]["pid"]
        os.kill(first, signal.SIGKILL)
        (fallen,) = service.told("a process has ended, and is started again")
        assert (fallen["pid"], fallen["how"]) == (first, "was killed by SIGKILL")
        for _ in range(20):
            assert service.get("run", "/run/ada/hello", headers={"api-key": key}).text == "hello"
        eventually(lambda: len(service.lines("serving")) == 3)
        assert service.get("internal", "/readyz").json()["checks"].keys() >= {"1.api.store", "2.api.store"}
        pids = [line["pid"] for line in service.lines("started a process")]
        assert service.end() == 0
        assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not list((tmp_path / "data" / "spool").iterdir())


def test_processes_whose_watcher_is_killed_end_by_themselves(tmp_path: Path) -> None:
    """Nothing is left that nobody watches."""
    with Running("gateway", tmp_path / "data", tmp_path / "log", processes=2) as service:
        eventually(lambda: len(service.lines("serving")) == 2)
        pids = [line["pid"] for line in service.lines("started a process")]
        service.process.kill()
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def refused(role: str, folder: Path, **settings: object) -> Any:
    """Starts a service that can't start, and returns what it says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDSERVE_")}
    environment |= {f"CLOUDSERVE_{name.upper()}": str(value) for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "cloudserve.cli", "serve", role, "--json"],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return json.loads(line)["error"]


def test_bad_settings_start_nothing(tmp_path: Path) -> None:
    """One message names each of them; no folder was made."""
    data = tmp_path / "data"
    error = refused("api", tmp_path, data_dir=data, port=70000, processes="many")
    assert [fault["setting"] for fault in error["settings"]] == ["port", "processes"]
    assert error["reason"] == "settings"
    assert not data.exists()


def test_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    """The message names the port and its setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = refused("gateway", tmp_path, data_dir=tmp_path / "data", run_port=port, metrics_port=0)
    (fault,) = error["settings"]
    assert (fault["setting"], fault["message"]) == ("run_port", f"port {port} of 127.0.0.1 is taken")
    assert not (tmp_path / "data").exists()


def test_an_unknown_service_is_refused(tmp_path: Path) -> None:
    """With those that there are."""
    assert "choose among api, gateway" in refused("worker", tmp_path)["message"]
