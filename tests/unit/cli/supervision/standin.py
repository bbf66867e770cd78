"""A platform process that is none: it answers with its settings' `instance` and its own process id.

`python standin.py SETTINGS` supervises itself; with the supervisor's arguments it is the supervised process. A setting
`instance` that begins with `broken` makes it fail at its start, one that begins with `weak` refuse to serve.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from cloudserve.cli.serving import Inherited, serve
from cloudserve.cli.supervisor import supervise


async def platform() -> None:
    inherited = Inherited.parse()
    settings = json.loads(inherited.settings.read_text())
    if settings["instance"].startswith("broken"):
        sys.exit("the stand-in was told to fail")
    if settings["instance"].startswith("weak"):
        inherited.refuse("This host is too weak.\nRemedy: a stronger one.")
        sys.exit(1)
    leaving = asyncio.Event()

    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            await leaving.wait()
        body = json.dumps({"instance": settings["instance"], "pid": os.getpid()}).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def on_leaving():
        leaving.set()

    await serve(inherited, platform=app, run=app, on_leaving=on_leaving)


if __name__ == "__main__":
    if sys.argv[1].startswith("--"):
        asyncio.run(platform())
    else:
        sys.exit(supervise(Path(sys.argv[1]), command=[sys.executable, __file__]))
