"""`cloudserve key`: the API keys of the account."""

from typing import Annotated, Any

import typer

from cloudserve.cli import profile
from cloudserve.cli.client import ApiError, Client, UrlOption, connect
from cloudserve.cli.commands import new_app
from cloudserve.cli.functions import the_function
from cloudserve.cli.output import CommandError, JsonOption, Output, moment, table
from cloudserve.cli.prompts import confirm

app = new_app(
    description="Show the key of this machine; list, create, delete and regenerate the account's keys.",
    example='curl -H "api-key: $(cloudserve key show)" http://127.0.0.1:7701/run/ann/hello',
)

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


@app.command(epilog="Example: export CLOUDSERVE_API_KEY=$(cloudserve key show)")
def show(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Print the key that this machine signs in with."""
    with connect(url) as client:
        if client.api_key is None:
            raise CommandError("This machine has no key for it. Sign in with `./cloudserve login`.", reason="no-key")
        Output(as_json).result({"apiKey": client.api_key, "url": client.url}, client.api_key)


@app.command("list", epilog="Example: cloudserve key list")
def list_keys(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the account's keys: what each may do, when it ends and when it was used last."""
    out = Output(as_json)
    with connect(url) as client:
        answer = client.get("/api/keys")
    rows = [
        (
            key["_id"],
            key["name"],
            key["hint"],
            " ".join(key["scopes"]),
            moment(key["expiresAt"]),
            moment(key["lastUsedAt"]),
        )
        for key in answer["keys"]
    ]
    out.result(answer, table(("ID", "NAME", "KEY", "SCOPES", "EXPIRES", "USED"), rows))


@app.command(epilog="Example: cloudserve key create ci --scope deploy --scope invoke --function hello")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    *,
    scope: Annotated[
        list[str] | None, typer.Option(help="invoke, read, deploy or admin; may be repeated. Default: invoke.")
    ] = None,
    function: Annotated[
        list[str] | None, typer.Option(help="A function it is good for; may be repeated. Default: all of yours.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="When it ends, such as 2027-01-31T00:00:00Z.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it; it is shown only now."""
    out = Output(as_json)
    request: dict[str, Any] = {"name": name, "scopes": scope or ["invoke"]}
    if expires is not None:
        request["expiresAt"] = expires
    with connect(url) as client:
        if function:
            request["functionIds"] = [the_function(client, wanted)["_id"] for wanted in function]
        answer = client.post("/api/keys", request)
    out.say("Keep this key; it is not shown again.")
    out.result(answer, answer["apiKey"])


@app.command(epilog="Example: cloudserve key delete 01k9xr3m5t0000000000000000 --yes")
def delete(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id; `./cloudserve key list` shows it.")],
    yes: YesOption = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a key; who uses it is refused within a second."""
    out = Output(as_json)
    with connect(url) as client:
        confirm(f"Delete the key {key_id}? Who uses it is refused from then on.", yes=yes)
        client.delete(f"/api/keys/{key_id}")
    out.result({"deleted": key_id}, f"Deleted the key {key_id}.")


@app.command(epilog="Example: cloudserve key regenerate --yes")
def regenerate(yes: YesOption = False, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Replace the account's default key and print the new one; the old one is refused within a second."""
    out = Output(as_json)
    with connect(url) as client:
        confirm("Replace the account's default key? Who uses the old one is refused from then on.", yes=yes)
        name = client.name
        fresh = client.post("/api/apikey/regenerate")["apiKey"]
        if profile.load(client.url) is not None and _is_refused(client):
            profile.remember(client.url, client.run_url, fresh, name)
    out.say("Keep this key; it is not shown again.")
    out.result({"apiKey": fresh}, fresh)


def _is_refused(client: Client) -> bool:
    """Tells whether the key in use was the one that was replaced."""
    try:
        client.get("/api/auth/me")
    except ApiError as error:
        return error.status == 401
    return False
