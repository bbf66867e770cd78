"""AWS Lambda's shape: `lambda_handler(event, context)` with API Gateway events of payload format 2.0.

It is taken for `lambda_handler`; for a `handler` whose first parameter is called `event` or that has two parameters;
and when the version's `handler` says `lambda`. The answer follows the same format: a dict with `statusCode`, else JSON
of whatever was returned, with status 200.
"""

import base64
import time
from types import ModuleType
from typing import Any, Final
from urllib.parse import parse_qsl

from cloudserve.sandbox.runtimes.python.bodies import is_text
from cloudserve.sandbox.runtimes.python.context import make_headers
from cloudserve.sandbox.runtimes.python.request import Request
from cloudserve.sandbox.runtimes.python.responses import JSON_TYPE, Response, from_parts, to_json
from cloudserve.sandbox.runtimes.python.shapes.abc import Facts, Handler, accepts, is_async, positional_names

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LambdaContext:
    """What AWS passes beside the event."""

    def __init__(self, request: Request, facts: Facts) -> None:
        name = facts.function_name
        self.aws_request_id = request.execution_id
        self.function_name = name
        self.function_version = str(facts.version)
        self.memory_limit_in_mb = str(facts.memory_mb)
        self.invoked_function_arn = f"arn:aws:lambda:local:000000000000:function:{name}"
        self.log_group_name = f"/aws/lambda/{name}"
        self.log_stream_name = request.execution_id
        self.identity = None
        self.client_context = None
        self._deadline = request.deadline

    def get_remaining_time_in_millis(self) -> int:
        """Returns the milliseconds until the call times out."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def find(module: ModuleType, export: str | None, facts: Facts, *, asked: bool) -> Handler | None:
    """Finds a Lambda handler."""
    name = export or next((name for name in ("lambda_handler", "handler") if hasattr(module, name)), None)
    function = getattr(module, name, None) if name else None
    if not callable(function) or not (asked or name == "lambda_handler" or _looks_like_lambda(function)):
        return None

    if accepts(function, 2):

        def call(request: Request) -> Any:
            return function(make_event(request), LambdaContext(request, facts))
    else:

        def call(request: Request) -> Any:
            return function(make_event(request))

    return Handler(call, respond, is_async(function))


def _looks_like_lambda(function: Any) -> bool:
    names = positional_names(function)
    return bool(names) and (len(names) == 2 or names[0] == "event")  # type: ignore[arg-type, index] # bool() saw to None


def make_event(request: Request) -> dict[str, Any]:
    """Returns the API Gateway event, payload format 2.0."""
    headers = make_headers([pair for pair in request.headers if pair[0] != "cookie"])
    now = time.time()
    domain = request.base_url.partition("://")[2].partition("/")[0]
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": dict(headers),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "cloudserve",
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.client,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request.execution_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": _common_log_time(now),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    cookies = [value for name, value in request.headers if name == "cookie"]
    if cookies:
        event["cookies"] = [part.strip() for value in cookies for part in value.split(";")]
    if request.query:
        event["queryStringParameters"] = _joined_query(request.query)
    if request.body:
        event["body"], event["isBase64Encoded"] = _body(request.body, headers.get("content-type", ""))
    return event


def _common_log_time(now: float) -> str:
    at = time.gmtime(now)
    return f"{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year}:{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000"


def _joined_query(query: str) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _body(raw: bytes, content_type: str) -> tuple[str, bool]:
    if not content_type or is_text(content_type):
        try:
            return raw.decode("utf-8"), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(raw).decode("ascii"), True


def respond(value: Any) -> Response:
    """Returns the answer to an API Gateway call. Raises `BadResponse`."""
    if isinstance(value, dict) and "statusCode" in value:
        return from_parts(value)
    body = value.encode("utf-8") if isinstance(value, str) else to_json(value)
    return Response(200, [("content-type", JSON_TYPE)], body)
