"""`cloudserve invoke`: calls a function and prints what it answers."""

import base64
import json
import mimetypes
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from cloudserve.cli.client import ApiError, UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.functions import NameArgument, split_name
from cloudserve.cli.output import CommandError, JsonOption, Output
from cloudserve.core.errors import MEDIA_TYPE

app = new_app()


@app.command(epilog='Example: cloudserve invoke hello --data \'{"name": "Ann"}\' --path greet --query lang=en')
def invoke(
    name: NameArgument,
    *,
    data: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE|-", help="The body: as it stands, of a file, or standard input.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="The HTTP method; POST with a body, otherwise GET.")] = None,
    path: Annotated[str, typer.Option(help="What follows the function's name in the URL.")] = "",
    header: Annotated[list[str] | None, typer.Option(metavar="KEY:VALUE", help="A header; may be repeated.")] = None,
    query: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A query pair; may be repeated.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call a function and print the body of its answer as it comes.

    Ends with exit code 1 when the answer's status is 400 or more; what went wrong is on standard error.
    """
    headers = dict(_pair(text, ":", "--header") for text in header or [])
    params = [_pair(text, "=", "--query") for text in query or []]
    body, media_type = _body(data)
    if media_type and not any(known.lower() == "content-type" for known in headers):
        headers["Content-Type"] = media_type
    owner, function = split_name(name)
    with (
        connect(url) as client,
        client.invoke(
            owner or client.name,
            function,
            path,
            method=(method or ("GET" if body is None else "POST")).upper(),
            headers=headers,
            **({} if body is None else {"content": body}),
            **({"params": params} if params else {}),
        ) as response,
    ):
        if response.headers.get("content-type", "").startswith(MEDIA_TYPE) and response.is_error:
            error = ApiError(response)
            if error.details.get("component") == "function":
                error.notes.append(f"See what it printed: `./cloudserve logs {name}`.")
            raise error
        if as_json:
            Output(as_json=True).result(_document(response), "")
        else:
            for chunk in response.iter_bytes():
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
        if response.is_error:
            raise CommandError(
                f"{name} answered with status {response.status_code}. See what it printed: `./cloudserve logs {name}`.",
                reason="error-answer",
                details={"status": response.status_code},
            )


def _pair(text: str, separator: str, option: str) -> tuple[str, str]:
    key, found, value = text.partition(separator)
    if not found or not key.strip():
        raise CommandError(f"{option} {text!r} is not KEY{separator}VALUE.", reason="bad-option", exit_code=2)
    return key.strip(), value.strip()


def _body(data: str | None) -> tuple[bytes | None, str | None]:
    """Returns the body and its media type, which is a guess for anything but JSON."""
    if data is None:
        return None, None
    guess = "text/plain; charset=utf-8"
    if data == "-":
        body = sys.stdin.buffer.read()
        guess = "application/octet-stream"
    elif data.startswith("@"):
        try:
            body = Path(data[1:]).read_bytes()
        except OSError as error:
            raise CommandError(f"--data {data}: {error.strerror}.", reason="bad-option", exit_code=2) from None
        guess = mimetypes.guess_type(data[1:])[0] or "application/octet-stream"
    else:
        body = data.encode()
    try:
        json.loads(body)
    except ValueError:
        return body, guess
    return body, "application/json"


def _document(response: httpx2.Response) -> dict[str, Any]:
    """Returns an answer as JSON: its body as text, or in base 64 when it is none."""
    content = response.read()
    try:
        body, is_base64 = content.decode("utf-8"), False
    except UnicodeDecodeError:
        body, is_base64 = base64.b64encode(content).decode("ascii"), True
    return {
        "statusCode": response.status_code,
        "headers": dict(response.headers),
        "body": body,
        "isBase64Encoded": is_base64,
        "executionId": response.headers.get("x-cloudserve-execution-id"),
    }
