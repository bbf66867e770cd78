"""A sandbox host as a process of its own: `python -m tests.contract.sandbox_host FOLDER PORT [claimed]`.

Its certificates are in the folder `tls` below FOLDER. It runs at the tier that is under test.
"""

import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from cloudserve.sandbox.abc import Sandbox
from cloudserve.sandbox.claims import ClaimedSandbox
from cloudserve.sandbox.remote.host import SandboxHost
from cloudserve.sandbox.remote.tls import SANDBOX, TlsFiles
from cloudserve.sandbox.turnstile import Turnstile
from tests.contract.sandboxes import make_sandbox


async def serve(folder: Path, port: int, *, claimed: bool) -> None:
    """Serves until it is told to end, then finishes what it has."""
    own = folder / str(port)
    own.mkdir(exist_ok=True)
    sandbox: Sandbox = make_sandbox(own)
    if claimed:
        sandbox = ClaimedSandbox(
            lambda: make_sandbox(own), turnstile=Turnstile(own / "turnstile"), queue_seconds=20, slice_seconds=0.2
        )
    tls = folder / "tls"
    files = TlsFiles(tls / "ca.crt", tls / f"{SANDBOX}.crt", tls / f"{SANDBOX}.key")
    host = SandboxHost(sandbox, listen=f"127.0.0.1:{port}", tls=files, folder=own / "trees", capacity=4)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await sandbox.start()
    await host.start()
    await ending.wait()
    await host.close(grace_seconds=10)
    await sandbox.close(grace_seconds=1)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), int(sys.argv[2]), claimed=len(sys.argv) > 3))
