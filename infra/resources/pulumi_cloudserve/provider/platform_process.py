"""`cloudserve:local:PlatformProcess`: the supervised platform process.

It counts as running when `/healthz` answers with the token of its settings (`instance`): some other process on the
port does not. A change is handed to the running supervisor, which takes it up without refusing a connection.
"""

import json
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pulumi_cloudserve.provider import launch, ports
from pulumi_cloudserve.provider.files import make_folder, read_json, write_text
from pulumi_cloudserve.provider.framework import Context, Handler, ResourceError, Values
from pulumi_cloudserve.provider.running import Running

START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 60.0

_PORT_SETTINGS: Final = (("port", "cloudserve:port"), ("run_port", "cloudserve:runPort"))


class PlatformProcessHandler(Handler):
    """Inputs: `dataDir`; `command`, which supervises (`--settings FILE` is added); `settings`, what that file holds,
    with `host`, `port` and `run_port` among it; `code`, a hash of the platform's code, so that new code is taken up.

    Outputs: `instance` and `running`.
    """

    type = "cloudserve:local:PlatformProcess"
    inputs = frozenset({"dataDir", "command", "settings", "code"})
    outputs = frozenset({"instance", "running"})
    replace_on = frozenset({"dataDir"})

    def check(self, inputs: Values) -> Iterator[tuple[str, str]]:
        """Asks for two different ports."""
        settings = inputs.get("settings", {})
        if settings.get("port") == settings.get("run_port", -1):
            yield "settings", "cloudserve:port and cloudserve:runPort must differ: they are two origins"

    def needs_repair(self, state: Values) -> Iterable[str]:
        """A platform that does not run is started."""
        return () if state["running"] else ("running",)

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """Starts the platform, or adopts one that an interrupted `create` left."""
        return inputs["dataDir"], self._bring_up(inputs, context)

    def read(self, state: Values, context: Context) -> Values | None:
        """Tells whether it runs."""
        if not Path(state["dataDir"]).exists():
            return None
        return {"instance": state["instance"], "running": _instance_at(state["settings"]) == state["instance"]}

    def update(self, state: Values, inputs: Values, context: Context) -> Values:
        """Takes up new settings or new code, and starts a platform that does not run."""
        return self._bring_up(inputs, context)

    def delete(self, state: Values, context: Context) -> None:
        """Stops the platform and waits for its end."""
        running = Running(Path(state["dataDir"]))
        context.say("stopping")
        launch.retire(running.data)
        running.signal(signal.SIGTERM)
        if not running.wait_until_gone(STOP_SECONDS) and not running.clear_orphans():
            raise ResourceError(f"The platform on {running.data} does not end. Remedy: end its processes by hand.")

    def _bring_up(self, inputs: Values, context: Context) -> Values:
        data = Path(inputs["dataDir"])
        running = Running(data)
        make_folder(data / "run")
        file = data / "run" / "settings.json"
        before = file.read_text() if file.exists() else None
        wanted = {**inputs["settings"], "data_dir": str(data)}
        mark = {"code": inputs["code"], "settings": wanted}
        if running.supervisor() is not None:
            instance = self._adopted(running, mark, inputs["settings"])
            if instance is None:
                context.say("handing over to a process with the new settings")
                instance = self._write(file, wanted, mark)
                self._hand_over(running, inputs, instance, before, context)
        else:
            if not running.clear_orphans():
                raise ResourceError(f"A process of an earlier platform on {data} does not end. Remedy: kill it.")
            _refuse_taken_ports(inputs["settings"], context)
            context.say("starting")
            instance = self._write(file, wanted, mark)
            launch.launch([*inputs["command"], "--settings", str(file)], data)
            self._await(running, inputs["settings"], instance, _gave_up_starting(running))
        return {"instance": instance, "running": True}

    def _adopted(self, running: Running, mark: Values, settings: Values) -> str | None:
        """Returns the instance of a platform that runs, or starts, on exactly these settings and this code."""
        applied = read_json(running.data / "run" / "applied.json")
        instance = applied.get("instance")
        if not isinstance(instance, str) or {name: applied.get(name) for name in mark} != dict(mark):
            return None
        until = time.monotonic() + START_SECONDS
        while running.record.get("state") == "starting" and time.monotonic() < until:
            time.sleep(0.05)
        return instance if _instance_at(settings) == instance else None

    def _write(self, file: Path, wanted: Values, mark: Values) -> str:
        instance = secrets.token_hex(8)
        write_text(file.with_name("applied.json"), json.dumps({**mark, "instance": instance}))
        write_text(file, json.dumps({**wanted, "instance": instance}))
        return instance

    def _hand_over(self, running: Running, inputs: Values, instance: str, before: str | None, context: Context) -> None:
        old = json.loads(before) if before else {}
        moved = {
            name: value
            for name, value in inputs["settings"].items()
            if name not in ("port", "run_port") or value not in (old.get("port"), old.get("run_port"))
        }
        try:
            _refuse_taken_ports(moved, context)
            if not running.signal(signal.SIGHUP):
                raise ResourceError("The platform ended meanwhile. Remedy: run `up` again.")
            self._await(running, inputs["settings"], instance, _refused(running, instance))
        except ResourceError:
            if before is not None:
                write_text(running.data / "run" / "settings.json", before)
            raise

    def _await(self, running: Running, settings: Values, instance: str, failure: Callable[[], str | None]) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            record = running.record
            if record.get("state") == "ready" and record.get("instance") == instance:
                if _instance_at(settings) == instance:
                    return
            elif reason := failure():
                raise ResourceError(f"The platform did not start:\n{reason}\nIts log: {running.data}/logs/platform.log")
            time.sleep(0.05)
        raise ResourceError(
            f"The platform was not healthy after {START_SECONDS:.0f} s. Its log: {running.data}/logs/platform.log"
        )


def _gave_up_starting(running: Running) -> Callable[[], str | None]:
    """Returns what tells why a first start failed; it then stops the supervisor, which would go on trying."""

    def failure() -> str | None:
        record = running.record
        if record.get("state") != "failed":
            return None
        launch.retire(running.data)
        running.signal(signal.SIGTERM)
        running.wait_until_gone(STOP_SECONDS)
        return str(record.get("error"))

    return failure


def _refused(running: Running, instance: str) -> Callable[[], str | None]:
    def failure() -> str | None:
        record = running.record
        return str(record.get("error")) if record.get("failed") == instance else None

    return failure


def _refuse_taken_ports(settings: Values, context: Context) -> None:
    for name, setting in _PORT_SETTINGS:
        if name in settings and not ports.is_free(settings["host"], settings[name]):
            raise ResourceError(
                f"Port {settings[name]} is taken by {ports.holder(settings[name])}. Remedy: end that process, or set "
                f"{setting} in infra/stacks/Pulumi.{context.stack}.yaml."
            )


def _instance_at(settings: Values) -> str | None:
    """Returns the token that `/healthz` answers with; None when nobody answers."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings["host"], settings["host"])  # noqa: S104 - told, not bound
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{host}:{settings['port']}/healthz", timeout=5) as answer:
            told: Any = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return told.get("instance") if isinstance(told, dict) else None
