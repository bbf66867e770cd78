"""A worker: a forked process that becomes one version, once, and then serves its calls."""

import gc
import json
import os
import random
import resource
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from cloudserve.sandbox.protocol import HELLO, READY, REFUSED, SPECIALISE, frame
from cloudserve.sandbox.runtimes.python import blocking, faults, looped, memory
from cloudserve.sandbox.runtimes.python.loading import load
from cloudserve.sandbox.runtimes.python.logs import Logs
from cloudserve.sandbox.runtimes.python.service import Service
from cloudserve.sandbox.runtimes.python.shapes import find_handler
from cloudserve.sandbox.runtimes.python.shapes.abc import Facts
from cloudserve.sandbox.runtimes.python.wire import Wire

_DATA_SLACK_MIB = 64
"""Room above a function's memory before allocation itself fails: stacks of threads count as data, though untouched."""


def run(sock: socket.socket) -> None:
    """Serves until the host closes the socket; never returns."""
    wire = Wire(sock)
    wire.send(frame(HELLO, 0))
    kind, _, payload = wire.receive()
    if kind != SPECIALISE:
        os._exit(1)
    spec = json.loads(payload)
    service = _specialise(wire, spec)
    if service.handler.is_async or service.concurrency > 1:
        looped.serve(service)
    else:
        blocking.serve(service)


def _specialise(wire: Wire, spec: dict[str, Any]) -> Service:
    begin = time.perf_counter()
    gc.enable()
    random.seed()
    memory.leave_out_runtime()
    _take_environment(spec)
    limit = (spec["memoryMb"] + _DATA_SLACK_MIB) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    logs = Logs(wire, spec["logBytes"])
    logs.install()
    code = spec["code"]
    facts = Facts(spec["functionName"], spec["version"], spec["memoryMb"])
    try:
        layer = Path(spec["layer"]) if spec["layer"] else None
        module, imports = load(Path(code), spec["entry"], layer)
        handler = find_handler(module, spec["handler"], facts)
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like at import are load failures too
        wire.send(frame(REFUSED, 0, faults.describe(error, code, loading=True)))
        os._exit(1)
    report = {"loadMs": (time.perf_counter() - begin) * 1000, "imports": imports}
    wire.send(frame(READY, 0, json.dumps(report).encode()))
    return Service(wire, logs, handler, code, spec["timeoutSeconds"], spec["concurrency"])


def _take_environment(spec: dict[str, Any]) -> None:
    home = str(Path.cwd())
    os.environ.clear()
    os.environ.update(PATH="/usr/local/bin:/usr/bin:/bin", HOME=home, TMPDIR=home, LANG="C.UTF-8")
    os.environ.update(spec["environment"])
    tempfile.tempdir = None
    time.tzset()
