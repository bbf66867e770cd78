"""An issuer of ID tokens in this process: its own keys, served on loopback as Google serves its."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from cloudserve.core.auth.google import ISSUERS, GoogleVerifier
from cloudserve.core.models.base import utc_now

CLIENT = "client.apps.example.com"


class Issuer:
    """Signs tokens with its newest key, and publishes the keys in `published`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fetched = 0
        self.failing = False
        self.published: list[dict[str, Any]] = []
        self._key: rsa.RSAPrivateKey
        self._name = ""
        self.new_key()

    def new_key(self) -> None:
        """Makes a key, publishes it beside the earlier ones, and signs with it from now on."""
        self._name = f"key-{len(self.published)}"
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        self.published.append(public | {"kid": self._name, "alg": "RS256", "use": "sig"})

    def token(self, *, algorithm: str = "RS256", key: Any = None, kid: str | None = None, **claims: Any) -> str:
        """Returns a token; a claim of None is left out."""
        now = utc_now()
        full = {
            "iss": ISSUERS[0],
            "aud": CLIENT,
            "sub": "1234567890",
            "email": "Ada@example.com",
            "email_verified": True,
            "name": "Ada Lovelace",
            "iat": now,
            "exp": now + timedelta(hours=1),
        } | claims
        return jwt.encode(
            {name: value for name, value in full.items() if value is not None},
            self._key if key is None else key,
            algorithm=algorithm,
            headers={"kid": kid or self._name},
        )

    def verifier(self) -> GoogleVerifier:
        """Returns what trusts this issuer."""
        return GoogleVerifier(CLIENT, keys_url=self.url)


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Yields an issuer whose keys are served."""
    issuer: Issuer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.fetched += 1
            content = json.dumps({"keys": issuer.published}).encode()
            self.send_response(500 if issuer.failing else 200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(f"http://127.0.0.1:{server.server_port}/certs")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
