"""The context a CloudServe handler gets: a dict whose keys are attributes too.

`context.body` and `context["body"]` are the same. Its keys: `body` (see `bodies`), `rawBody` (bytes), `query`
(dict; a repeated name has a list), `queryString`, `headers` (dict, names in lower case and looked up in any case; a
repeated header is joined by commas), `cookies`, `method`, `path`, `params` (the segments of `path`), `url`, `ip`,
`executionId`, `functionName`, `version`, `env`.
"""

import os
from typing import Any
from urllib.parse import parse_qsl

from cloudserve.sandbox.runtimes.python.bodies import collect, parse_body
from cloudserve.sandbox.runtimes.python.request import Request


class Headers(dict[str, str]):
    """Headers by name, in any case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class Context(dict[str, Any]):
    """One call, as a handler sees it."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"The context has no {name!r}; it has {', '.join(self)}.") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def make_headers(pairs: list[tuple[str, str]]) -> Headers:
    """Returns headers by name; a name that comes more than once is joined as RFC 9110 has it, cookies as RFC 6265."""
    headers = Headers(pairs)
    if len(headers) != len(pairs):
        dict.clear(headers)
        for name, value in pairs:
            if name in headers:
                value = headers[name] + ("; " if name == "cookie" else ", ") + value  # noqa: PLW2901 - joined
            dict.__setitem__(headers, name, value)
    return headers


def read_cookies(text: str) -> dict[str, str]:
    """Returns the cookies of a Cookie header, as they were sent."""
    if not text:
        return {}
    pairs = (part.strip().partition("=") for part in text.split(";"))
    return {name: value.strip('"') for name, separator, value in pairs if separator}


def make_context(request: Request, function_name: str, version: int) -> Context:
    """Returns the context of a call."""
    headers = make_headers(request.headers)
    query = request.query
    path = request.path
    return Context(
        body=parse_body(request.body, headers.get("content-type", "")) if request.body else None,
        rawBody=request.body,
        query=collect(parse_qsl(query, keep_blank_values=True)) if query else {},
        queryString=query,
        headers=headers,
        cookies=read_cookies(headers.get("cookie", "")),
        method=request.method,
        path=path,
        params=[segment for segment in path.split("/") if segment],
        url=f"{request.base_url}{path}{'?' if query else ''}{query}",
        ip=request.client,
        executionId=request.execution_id,
        functionName=function_name,
        version=version,
        env=os.environ,
    )
