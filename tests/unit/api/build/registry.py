"""A registry for npm and pip on this host's loopback interface, and a second place for its files."""

import base64
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Place:
    """A server with some pages; `asked` has the paths that were asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.asked.append(self.path)
                if self.path in place.redirects:
                    self.send_response(302)
                    self.send_header("location", place.redirects[self.path])
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                kind, content = place.pages.get(self.path, ("text/plain", b""))
                self.send_response(200 if self.path in place.pages else 404)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def host(self) -> str:
        """Its `host:port`."""
        return f"127.0.0.1:{self.server.server_address[1]}"

    def add_npm(self, name: str, *, files: "Place | None" = None, dependencies: Mapping[str, str] = {}) -> None:
        """Has a package, whose file is handed out by `files`."""
        manifest = {"name": name, "version": "1.0.0", "dependencies": dict(dependencies)}
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for path, content in {"package.json": json.dumps(manifest), "index.js": "module.exports = 7"}.items():
                member = tarfile.TarInfo(f"package/{path}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content.encode()))
        path, content = f"/{name}/-/{name}-1.0.0.tgz", buffer.getvalue()
        integrity = f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"
        place = files or self
        place.pages[path] = ("application/octet-stream", content)
        dist = {"tarball": f"http://{place.host}{path}", "integrity": integrity}
        document = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {**manifest, "dist": dist}}}
        self.pages[f"/{name}"] = ("application/json", json.dumps(document).encode())

    def add_pip(self, name: str, *, files: "Place | None" = None) -> str:
        """Has a distribution with one module, whose wheel is handed out by `files`. Returns the wheel's path."""
        buffer = io.BytesIO()
        info = f"{name}-1.0.0.dist-info"
        with zipfile.ZipFile(buffer, "w") as wheel:
            wheel.writestr(f"{name}.py", "seven = 7")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        path, content = f"/files/{name}-1.0.0-py3-none-any.whl", buffer.getvalue()
        place = files or self
        place.pages[path] = ("application/octet-stream", content)
        link = f"http://{place.host}{path}#sha256={hashlib.sha256(content).hexdigest()}"
        self.pages[f"/simple/{name}/"] = ("text/html", f'<a href="{link}">{path.rpartition("/")[2]}</a>'.encode())
        return path


@contextmanager
def place() -> Iterator[Place]:
    """A server while it is wanted."""
    one = Place()
    thread = threading.Thread(target=one.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield one
    finally:
        one.server.shutdown()
        one.server.server_close()
        thread.join()
