"""How the verbs speak to a platform: plain calls that return JSON or raise a `CommandError` a person can act on."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Annotated, Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx2
import typer

from cloudserve.cli import profile
from cloudserve.cli.output import CommandError

_TIMEOUT: Final = httpx2.Timeout(60, connect=5)
# A function may run for 900 s (`Limits.timeout_seconds`); the gateway ends it, not we.
_INVOKE_TIMEOUT: Final = httpx2.Timeout(930, connect=5)

UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="CLOUDSERVE_URL", help="The platform; by default the one signed in to last."),
]


class ApiError(CommandError):
    """An answer with an error status. `status` is the HTTP status, `reason` the problem's own."""

    def __init__(self, response: httpx2.Response) -> None:
        problem = _problem_of(response)
        status = response.status_code
        message = str(problem.get("message") or problem.get("detail") or f"The platform answered with status {status}.")
        reason = str(problem.get("reason") or "failed")
        notes = [_fault(fault) for fault in problem.get("errors", [])]
        if problem.get("reason"):
            notes.append(f"(reason: {reason}, request {problem.get('requestId', 'unknown')})")
        if status == 401 and reason != "wrong-credentials":
            notes.append("Sign in with `./cloudserve login`, or set CLOUDSERVE_API_KEY.")
        details = {k: v for k, v in problem.items() if k not in {"message", "reason", "detail", "title", "type"}}
        super().__init__(message, reason=reason, details={"status": status, **details}, notes=notes)
        self.status = status


class Client:
    """One platform, as one account sees it. Use it as a context manager, or `close` it."""

    def __init__(
        self, url: str, *, api_key: str | None = None, run_url: str | None = None, name: str | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.api_key = api_key
        self._run_url = run_url
        self._name = name
        self._http = httpx2.Client(
            timeout=_TIMEOUT,
            # A proxy can't reach this machine's own ports, and has no business with them.
            trust_env=not _is_loopback(self.url),
            headers={"User-Agent": "cloudserve-cli"},
        )

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the connections."""
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    @property
    def run_url(self) -> str:
        """The functions' origin."""
        if self._run_url is None:
            self._run_url = str(self.get("/api/platform")["runUrl"]).rstrip("/")
        return self._run_url

    @property
    def name(self) -> str:
        """The account's user name."""
        if self._name is None:
            self._name = str(self.get("/api/auth/me")["user"]["userName"])
        return self._name

    @property
    def has_session(self) -> bool:
        """Whether the platform signed this client in, with a cookie."""
        return bool(self._http.cookies)

    def get(self, path: str, **query: Any) -> Any:
        """Returns the JSON of a GET. Raises `CommandError`."""
        return self.call("GET", path, params={k: v for k, v in query.items() if v is not None})

    def post(self, path: str, document: Any = None, **content: Any) -> Any:
        """Returns the JSON of a POST. Raises `CommandError`."""
        return self.call("POST", path, **({} if document is None else {"json": document}), **content)

    def put(self, path: str, document: Any) -> Any:
        """Returns the JSON of a PUT. Raises `CommandError`."""
        return self.call("PUT", path, json=document)

    def delete(self, path: str) -> Any:
        """Returns the JSON of a DELETE, None when it has none. Raises `CommandError`."""
        return self.call("DELETE", path)

    def call(self, method: str, path: str, **content: Any) -> Any:
        """Sends one request to the API and returns its JSON, None when it has none. Raises `CommandError`."""
        with self._reaching(self.url):
            headers = {**self._credentials(), "Origin": self.url}
            response = self._http.request(method, self.url + path, headers=headers, **content)
        if response.is_error:
            raise ApiError(response)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            raise CommandError(
                f"{self.url} answered with something that is not JSON; is it a CloudServe platform?",
                reason="not-a-platform",
            ) from None

    @contextmanager
    def invoke(
        self, owner: str, function: str, path: str = "", *, method: str, headers: Mapping[str, str], **content: Any
    ) -> Iterator[httpx2.Response]:
        """Calls a function and yields its answer, whose body has not been read. Raises `CommandError`."""
        url = f"{self.run_url}/run/{quote(owner)}/{quote(function)}"
        if path.strip("/"):
            url += "/" + path.removeprefix("/")
        with (
            self._reaching(self.run_url),
            self._http.stream(
                method, url, headers={**self._credentials(), **headers}, timeout=_INVOKE_TIMEOUT, **content
            ) as response,
        ):
            yield response

    def _credentials(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @contextmanager
    def _reaching(self, url: str) -> Iterator[None]:
        try:
            yield
        except httpx2.ConnectError as error:
            raise unreachable(url, error) from None
        except httpx2.TimeoutException:
            raise CommandError(f"{url} did not answer in time.", reason="no-answer") from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            raise CommandError(f"{url} is no URL; write it like http://localhost:7700.", reason="bad-url") from None
        except httpx2.TransportError as error:
            raise CommandError(f"The connection to {url} broke off: {error}", reason="connection-lost") from None


def connect(url: str | None) -> Client:
    """Returns the platform to speak to: `url`, or else the one signed in to last. Raises `CommandError` without one."""
    key = os.environ.get("CLOUDSERVE_API_KEY")
    known = profile.load(url)
    if known is None and url is None:
        raise CommandError(
            "You aren't signed in to a platform. Start one here with `./cloudserve up`, or sign in to a running one "
            "with `./cloudserve login --url URL`.",
            reason="not-signed-in",
        )
    if known is None:
        return Client(str(url), api_key=key)
    if key and key != known.api_key:
        return Client(known.url, api_key=key, run_url=known.run_url)
    return Client(known.url, api_key=known.api_key, run_url=known.run_url, name=known.name)


def unreachable(url: str, error: Exception) -> CommandError:
    """Returns the error for a platform that can't be connected to; `--json` tells the cause."""
    remedy = "Start it with `./cloudserve up`." if _is_loopback(url) else "Check the URL, and that it is up."
    return CommandError(
        f"The platform at {url} isn't running. {remedy}", reason="unreachable", details={"cause": str(error)}
    )


def _fault(fault: dict[str, Any]) -> str:
    """Returns a line on one field at fault: its limit and the remedy, or else what is wrong with it."""
    limit, remedy = fault.get("limit"), fault.get("remedy")
    parts = [*([f"limit: {limit}"] if limit is not None else []), *([str(remedy)] if remedy else [])]
    return f"  {fault.get('field')}: {'; '.join(parts) or fault.get('message')}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _problem_of(response: httpx2.Response) -> dict[str, Any]:
    try:
        document = json.loads(response.read())
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
