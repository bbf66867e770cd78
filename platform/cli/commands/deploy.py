"""`cloudserve deploy`: puts a file or a folder on the platform as a function."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cloudserve.cli.builds import wait_for_build
from cloudserve.cli.client import Client, UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.functions import find_function, split_name
from cloudserve.cli.output import CommandError, JsonOption, Output
from cloudserve.cli.packing import name_for, pack

app = new_app()

_LIMITS = {
    "timeout": "timeoutSeconds",
    "memory": "memoryMb",
    "concurrency": "concurrency",
    "min_warm": "minWarm",
    "max_workers": "maxWorkers",
}


@app.command(epilog="Example: cloudserve deploy ./resize --name resize --memory 256 --env QUALITY=80 --secret S3_KEY")
def deploy(
    path: Annotated[Path, typer.Argument(help="A source file, or a folder with package.json or requirements.txt.")],
    *,
    name: Annotated[
        str | None, typer.Option(help="The function's name; by default that of the file or folder.")
    ] = None,
    runtime: Annotated[str | None, typer.Option(help="node or python; by default what the sources are.")] = None,
    entry: Annotated[str | None, typer.Option(help="The file that is loaded, relative to the folder.")] = None,
    handler: Annotated[str | None, typer.Option(help="The export that is called; by default the known names.")] = None,
    env: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Environment; may be repeated.")] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="A secret it gets, may be repeated; without any, all. Set them with `secrets`."
        ),
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds a call may take.")] = None,
    memory: Annotated[int | None, typer.Option(help="MiB of memory of a worker.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Calls at once in a worker.")] = None,
    min_warm: Annotated[int | None, typer.Option(help="Workers kept ready without traffic.")] = None,
    max_workers: Annotated[int | None, typer.Option(help="Workers at most.")] = None,
    public: Annotated[bool | None, typer.Option("--public/--no-public", help="Callable without a key.")] = None,
    egress: Annotated[
        list[str] | None,
        typer.Option(help="none, public, or a host or host:port it may connect to; hosts may be repeated."),
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy a file or a folder as a function, wait for it, and print its endpoint.

    A function of that name gets a new version, and keeps what no option changes; `--env`, `--secret` and `--egress`
    replace what it had. A folder goes without `.git`, `node_modules`, `.venv`, `__pycache__` and what its
    `.cloudserveignore` names.
    """
    out = Output(as_json)
    given = {"runtime": runtime, "entry": entry, "handler": handler, "secrets": secret}
    options: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if env is not None:
        options["environment"] = dict(_pair(text) for text in env)
    if public is not None:
        options["auth"] = "public" if public else "key"
    if egress is not None:
        options["egress"] = _egress(egress)
    chosen = {"timeout": timeout, "memory": memory, "concurrency": concurrency}
    chosen |= {"min_warm": min_warm, "max_workers": max_workers}
    limits = {_LIMITS[option]: value for option, value in chosen.items() if value is not None}

    upload = pack(path)
    wanted = name or name_for(path)
    with connect(url) as client:
        existing = find_function(client, wanted)
        if limits:
            options["limits"] = {**((existing and existing["limits"]) or {}), **limits}
        if existing is not None:
            out.say(f"Deploying {path} as a new version of {wanted} …")
            answer = client.post(f"/api/functions/{existing['_id']}/redeploy", **upload.request(options))
        else:
            out.say(f"Deploying {path} as {wanted} …")
            options["name"] = _new_name(client, wanted)
            answer = client.post("/api/functions/deploy", **upload.request(options))
        build = wait_for_build(client, answer["build"]["_id"], out)
        function = client.get(f"/api/functions/{answer['function']['_id']}")["function"]
    out.say(f"Version {build['version']} is live. Call it with\n  {_curl(function)}")
    out.result({"function": function, "build": build}, function["endpoint"])


def _new_name(client: Client, wanted: str) -> str:
    """Returns the name to make a function under. Raises `CommandError` when it is in another's name space."""
    owner, name = split_name(wanted)
    if owner not in (None, client.name):
        raise CommandError(
            f"You are signed in as {client.name}, who can't make functions of {owner}.", reason="not-yours"
        )
    return name


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CommandError(f"--env {text!r} is not KEY=VALUE.", reason="bad-option", exit_code=2)
    return key, value


def _egress(values: list[str]) -> dict[str, Any]:
    if len(values) == 1 and values[0] in {"none", "public"}:
        return {"mode": values[0]}
    if "none" in values or "public" in values:
        raise CommandError(
            "--egress takes none, public, or hosts; not a mix of them.", reason="bad-option", exit_code=2
        )
    return {"mode": "list", "allow": values}


def _curl(function: dict[str, Any]) -> str:
    key = "" if function["auth"] == "public" else '-H "api-key: $(./cloudserve key show)" '
    return f"curl {key}{function['endpoint']}"
